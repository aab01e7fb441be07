#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stomp_wsgi_fuzz::tls::check(data));
