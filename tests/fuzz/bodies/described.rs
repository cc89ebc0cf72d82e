//! Answers of described servers: the first byte says by which description, the rest is the answer. What is left of it reads
//! by the same description, has nothing more to cut, and no column that may not pass.

use std::sync::LazyLock;

use tagwarden::dialect::Answer;
use tagwarden::dialect::json::answer::{Column, Layout, Want, cut};
use tagwarden::dialect::json::description::{Answer as Described, Shape};
use tagwarden::dialect::json::plan::Fate;
use tagwarden::dialect::json::pointer::Pointer;

static LAYOUTS: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    let at = |text: &str| Pointer::parse(text).expect("a pointer");
    let scope = |at: Pointer| vec![("s".to_owned(), at)];
    let plain = |shape| Described { shape, keep: Vec::new(), scope: Vec::new(), sparse: true, pass: Vec::new() };
    let described = [
        vec![plain(Shape::Objects { at: at("") })],
        vec![Described { scope: scope(at("/*/s")), ..plain(Shape::Objects { at: at("/*/o/*") }) }],
        vec![plain(Shape::Columns { names: at("/n/*"), at: at("/v"), aligned: vec![at("/a"), at("/b/c")] })],
        vec![Described {
            pass: vec![at("/n/*/t")],
            ..plain(Shape::Rows { names: at("/n/*/m"), at: at("/v/*"), aligned: Vec::new() })
        }],
        vec![
            Described { scope: scope(at("/r/*/s")), ..plain(Shape::Records { at: at("/r/*"), name: at("/n") }) },
            plain(Shape::Objects { at: at("/o") }),
        ],
    ];
    described.iter().map(|answers| Layout::new(answers, &[]).expect("a layout")).collect()
});

/// Names that begin with an `x` may not pass.
fn fate(column: &Column<'_>) -> Option<Fate> {
    Some(if column.name.starts_with('x') { Fate::Cut } else { Fate::Keep })
}

/// One run.
pub fn run(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let layout = &LAYOUTS[usize::from(*first) % LAYOUTS.len()];
    let want = Want { kept: &|_| None, asked_for: &[] };
    let left = match cut(body, layout, &want, &mut fate) {
        Ok(Answer::AsItCame) => body.to_vec(),
        Ok(Answer::Cut { body: left, .. }) => {
            let left = left.whole(body);
            assert!(left.len() < body.len());
            left
        }
        Err(_) => return,
    };
    assert_eq!(cut(&left, layout, &want, &mut fate), Ok(Answer::AsItCame));
    let names = |body: &[u8]| {
        let mut names = Vec::new();
        cut(body, layout, &want, &mut |column| {
            names.push((column.name.to_owned(), column.scope.first().map(|(_, value)| value.to_string())));
            fate(column)
        })
        .expect("it was read before");
        names
    };
    let may = |(name, _): &(String, Option<String>)| !name.starts_with('x');
    let passed = names(&left);
    assert!(passed.iter().all(may));
    assert_eq!(names(body).into_iter().filter(may).collect::<Vec<_>>(), passed);
}
