#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagwarden_fuzz::bodies::described::run(data));
