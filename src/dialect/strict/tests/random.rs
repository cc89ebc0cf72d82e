//! Random messages of each shape, as they are, with one fault planted in them, and with bytes turned over.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::dialect::chalk::expression;
use crate::dialect::feast::rpc::{proto as feast, shape as feast_shape};

/// A small source of numbers: a message is drawn from it as wide and deep as its shape allows.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn word(&mut self) -> String {
        (0..1 + self.next(6)).map(|_| ['a', 'b', '_', '.', 'é'][self.next(5) as usize]).collect()
    }

    /// A message in which no field is its type's empty value, which protobuf does not tell from one that is missing.
    fn message(&mut self, fields: &[Field], depth: usize) -> Vec<u8> {
        let (mut message, mut chosen) = (Vec::new(), BTreeSet::new());
        let start = self.next(fields.len().max(1) as u64) as usize;
        for at in 0..fields.len() {
            let field = &fields[(start + at) % fields.len()];
            if matches!(field.kind, Kind::Refused) || (at > 0 && self.next(3) == 0) {
                continue;
            }
            if let Kind::Message(_) = field.kind
                && (depth == 0 || self.next(4) == 0)
            {
                continue;
            }
            match field.rule {
                Rule::Of(oneof) if !chosen.insert(oneof) => {}
                Rule::One | Rule::Of(_) => message.extend(self.field(field, depth)),
                Rule::Many if own_wire(field.kind) != 2 && self.next(2) == 0 => {
                    let values = (0..1 + self.next(3)).flat_map(|_| self.value(field.kind, depth)).collect::<Vec<_>>();
                    message.extend(bytes(field.number, &values));
                }
                Rule::Many => {
                    for _ in 0..1 + self.next(2) {
                        message.extend(self.field(field, depth));
                    }
                }
                Rule::Map => {
                    for key in 0..1 + self.next(2) {
                        let mut entry = text(1, &format!("{}{key}", self.word()));
                        let value = Field { number: 2, name: "value", kind: field.kind, rule: Rule::One };
                        entry.extend(self.filled(&value, depth));
                        message.extend(bytes(field.number, &entry));
                    }
                }
            }
        }
        message
    }

    /// A field that is not empty, messages included: an entry without one is written as one without a value.
    fn filled(&mut self, field: &Field, depth: usize) -> Vec<u8> {
        loop {
            let drawn = self.field(field, depth.max(2));
            if drawn.len() > 2 || own_wire(field.kind) != 2 {
                return drawn;
            }
        }
    }

    fn field(&mut self, field: &Field, depth: usize) -> Vec<u8> {
        [wire::field(field.number, own_wire(field.kind)), self.value(field.kind, depth)].concat()
    }

    fn value(&mut self, kind: Kind, depth: usize) -> Vec<u8> {
        let delimited = |bytes: &[u8]| [wire::varint(bytes.len() as u64), bytes.to_vec()].concat();
        match kind {
            Kind::Bool => vec![1],
            Kind::Enum(names) => {
                let last = names.len() as u64 - 1;
                wire::varint(self.next(last.max(1)) + u64::from(last > 0))
            }
            Kind::Int32 => wire::varint(if self.next(2) == 0 { 1 + self.next(9) } else { u64::MAX - self.next(9) }),
            Kind::Int64 | Kind::Uint64 => wire::varint(1 << self.next(64)),
            Kind::Uint32 => wire::varint(1 << self.next(32)),
            Kind::Float => 1.5_f32.to_le_bytes().to_vec(),
            Kind::Double => (1.0 + self.next(9) as f64).to_le_bytes().to_vec(),
            Kind::String => delimited(self.word().as_bytes()),
            Kind::Bytes => delimited(&[0xff, 1]),
            Kind::Message(shape) => delimited(&self.message(shape.fields, depth.saturating_sub(1))),
            Kind::Refused => vec![],
        }
    }
}

/// What prost keeps of a message that is strict.
fn agrees<R: Request>(draw: &mut Draw) {
    let bytes: Bytes = draw.message(R::SHAPE.fields, 6).into();
    let name = R::SHAPE.name;
    let message: R = decode(&bytes).unwrap_or_else(|refused| panic!("{name}: {refused}: {bytes:02x?}"));
    let written = message.encode_to_vec();
    assert_eq!(check(R::SHAPE, &written), Ok(()), "{name}");
    assert_eq!(wire::canonical(R::SHAPE, &written), wire::canonical(R::SHAPE, &bytes), "{name}");
}

const SHAPES: &[&Shape] = &[
    &query::ONLINE_QUERY,
    &query::ONLINE_QUERY_BULK,
    &query::ONLINE_QUERY_MULTI,
    &query::UPLOAD,
    &server::GET_TOKEN,
    &server::TEST_INTEGRATION,
    &crate::dialect::chalk::shape::expression::FEATURE_EXPRESSION,
    &feast_shape::GET_ONLINE_FEATURES,
    &feast_shape::PUSH,
    &super::ALL,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn prost_keeps_all_that_is_strict(seed in 1_u64..) {
        let draw = &mut Draw(seed);
        agrees::<OnlineQueryRequest>(draw);
        agrees::<OnlineQueryBulkRequest>(draw);
        agrees::<OnlineQueryMultiRequest>(draw);
        agrees::<UploadFeaturesRequest>(draw);
        agrees::<UploadFeaturesBulkRequest>(draw);
        agrees::<PingRequest>(draw);
        agrees::<FeatureExpression>(draw);
        agrees::<GetTokenRequest>(draw);
        agrees::<ListIntegrationsRequest>(draw);
        agrees::<GetIntegrationRequest>(draw);
        agrees::<GetIntegrationByNameRequest>(draw);
        agrees::<InsertIntegrationRequest>(draw);
        agrees::<UpdateIntegrationRequest>(draw);
        agrees::<TestIntegrationRequest>(draw);
        agrees::<DeleteIntegrationRequest>(draw);
        agrees::<GetAgentRequest>(draw);
        agrees::<GetGraphRequest>(draw);
        agrees::<feast::GetOnlineFeaturesRequest>(draw);
        agrees::<feast::PushRequest>(draw);
        agrees::<feast::WriteToOnlineStoreRequest>(draw);
    }

    #[test]
    fn a_fault_in_a_valid_message_is_refused(seed in 1_u64.., which in any::<Index>(), fault in 0_usize..6) {
        let shape = which.get(SHAPES);
        let draw = &mut Draw(seed);
        let mut message = draw.message(shape.fields, 5);
        prop_assert_eq!(check(shape, &message), Ok(()));
        let single = shape.fields.iter().find(|field| matches!(field.rule, Rule::One | Rule::Of(_)));
        let (planted, refused) = match (fault, single) {
            (0, _) => (number(1000, 1), "has the field 1000, which is not known"),
            (1, _) => (field(0, 0), "has a field with the number 0"),
            (2, _) => (field(1, 3), "has a group, the field 1"),
            (3, _) => (vec![0x80], "breaks off in a number"),
            (4, _) => (vec![0x8a, 0x80, 0x00], "has a number that is longer than it needs to be"),
            (_, Some(single)) => {
                message.clear();
                let mut twice = draw.field(single, 0);
                twice.extend(twice.clone());
                (twice, "is given twice")
            }
            (_, None) => (number(shape.fields[0].number, 1), "is of the wire type 0, not 2"),
        };
        message.extend(planted);
        let said = check(shape, &message).unwrap_err().0;
        prop_assert!(said.ends_with(refused), "{}: {}", shape.name, said);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        seed in 1_u64..,
        which in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let shape = which.get(SHAPES);
        let mut message = Draw(seed).message(shape.fields, 5);
        if !message.is_empty() {
            for (at, byte) in changes {
                let at = at.index(message.len());
                message[at] = byte;
            }
            if let Some(cut) = cut {
                message.truncate(cut.index(message.len()));
            }
        }
        let message = Bytes::from(message);
        // Whatever passes is kept whole.
        if check(shape, &message).is_ok() && shape.name == OnlineQueryBulkRequest::SHAPE.name {
            decode::<OnlineQueryBulkRequest>(&message).unwrap();
        }
        if let Ok(read) = expression::read(&message) {
            prop_assert_eq!(expression::read(&read.encoded).unwrap(), read);
        }
    }
}
