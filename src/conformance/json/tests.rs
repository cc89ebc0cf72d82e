//! What one side writes the other reads.

use super::*;

const SHAPES: [Shape; 4] = [Shape::Objects, Shape::Columns, Shape::Rows, Shape::Records];

#[test]
fn an_answer_reads_as_it_was_written() {
    for shape in SHAPES {
        let rows = if shape == Shape::Records { 1 } else { 2 };
        let texts = |name: &str| (name.to_owned(), vec![Cell::Text("a\"b".to_owned()); rows]);
        // A name that stands twice is read twice.
        let columns = [texts("r.a"), ("r.b".to_owned(), vec![Cell::Int(9_007_199_254_740_993); rows]), texts("r.a")];
        let body = answer(shape, &columns, false, Some("beside")).into();
        let exchange = Exchange { status: 200, body, ..Exchange::default() };
        assert_eq!(read(&exchange, shape), Got::Answer(columns.to_vec()), "{shape:?}");
    }
}

#[test]
fn what_only_the_engine_asked_for_is_a_fault() {
    let body = answer(Shape::Rows, &[("r.a".to_owned(), vec![Cell::Null])], true, None).into();
    let exchange = Exchange { status: 200, body, ..Exchange::default() };
    assert!(matches!(read(&exchange, Shape::Rows), Got::Unread(_)));
}

#[test]
fn every_description_is_read() {
    for shape in SHAPES {
        let text = shape.description().to_owned();
        let file = crate::diagnostic::SourceFile { name: format!("{shape:?}"), text };
        let (description, report) = crate::dialect::json::reader::load(&std::sync::Arc::new(file));
        assert!(report.diagnostics.is_empty(), "{report}");
        let path = shape.path();
        assert!(description.unwrap().routes.iter().any(|route| route.variables(&path).is_some()), "{path}");
    }
}
