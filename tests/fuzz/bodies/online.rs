//! Queries in JSON: what is read and sent on asks for what was permitted, and answers are cut to it.

use tagwarden::dialect::Answer;
use tagwarden::dialect::chalk::online::{filter, read, read_upload, rewrite};
use tagwarden::dialect::chalk::query::{Field, Permit};

/// One run.
pub fn run(data: &[u8]) {
    let _ = read_upload(data);
    if let Ok(request) = read(data, true) {
        let outputs: Vec<String> = request.query.outputs.iter().take(1).map(ToString::to_string).collect();
        let permit = Permit { outputs, ..Permit::default() };
        let sent = rewrite(&request, &permit);
        if !permit.outputs.is_empty() {
            let again = read(&sent, true).expect("what was sent is read");
            assert_eq!(again.query.outputs, permit.outputs);
            assert!(again.query.inputs.is_empty() && again.query.expressions.is_empty());
        }
    }
    let asked = read(br#"{"outputs":["user.name"],"inputs":{}}"#, true).expect("a plain query");
    // Without their keys rows could not be told apart when they are read again.
    let mut permit = Permit { outputs: vec!["user.name".to_owned()], primary_key: true, ..Permit::default() };
    permit.fields.insert("user.name".to_owned(), Field::Value);
    if let Ok(Answer::Cut { body, .. }) = filter(data, &permit, &asked) {
        let again = filter(&body.whole(data), &permit, &asked).expect("what was cut is read");
        assert!(matches!(again, Answer::AsItCame | Answer::Cut { .. }));
    }
}
