//! Both framings of bulk bodies: what is read is written again as the same.

use bytes::Bytes;
use tagwarden::dialect::chalk::container::{Container, read_queries, write_queries};
use tagwarden::dialect::chalk::feather::{Slot, Upload, filter};
use tagwarden::dialect::chalk::query::Permit;

/// One run.
pub fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(parts) = read_queries(&bytes) {
        let again = write_queries(parts.iter().map(|part| (&part.header, &part.table)));
        assert_eq!(again, data, "nothing of a request is lost or added");
    }
    if let Ok(container) = Container::read(&bytes) {
        let written = Bytes::from(container.write());
        let again = Container::read(&written).expect("what was written is read");
        assert_eq!(again.write(), written, "a second time changes nothing");
    }
    let _ = Upload::read(&bytes);
    let permit = Permit::default();
    let slots = [Slot::Sent(&permit)];
    let _ = filter(&bytes, &slots, |_| "null".to_owned(), |_, _| "{}".to_owned(), 1 << 20);
}
