//! Expressions: what is followed reads the same when it is read again.

use tagwarden::dialect::chalk::expression::read;

/// One run.
pub fn run(data: &[u8]) {
    let Ok(expression) = read(data) else { return };
    let again = read(&expression.encoded).expect("what was built anew is read");
    assert_eq!(again.reads, expression.reads);
    assert_eq!((again.name, again.namespace), (expression.name, expression.namespace));
    assert_eq!(again.encoded, expression.encoded, "a second time changes nothing");
}
