//! Messages to requests.
use std::time::{Duration, UNIX_EPOCH};

use super::*;

#[test]
fn spring_names() {
    let request = request(&call(
        &[
            ("correlation-id", "c-1"),
            ("http_requestMethod", "PUT"),
            ("http_requestUrl", "/orders/7?full=1"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("X-Tenant", "acme"),
        ],
        "{}",
    ));
    assert_eq!(request.method, "PUT");
    assert_eq!(request.target, "/orders/7?full=1");
    assert_eq!(request.path, b"/orders/7");
    assert_eq!(request.query, "full=1");
    assert_eq!(request.host(), None);
    assert_eq!(request.content_type.as_deref(), Some(&b"application/json"[..]));
    assert_eq!(headers(&request), [("X-Tenant".to_owned(), "acme".to_owned())]);
    assert_eq!(request.body, "{}");
    let delivery = &request.delivery;
    assert_eq!(delivery.destination(), b"/queue/in");
    assert_eq!(delivery.subscription(), b"s1");
    assert_eq!(delivery.message_id(), b"m-1");
    assert_eq!(delivery.correlation_id(), Some(&b"c-1"[..]));
    assert_eq!(delivery.reply_to(), Some(&b"/temp-queue/me"[..]));
    assert!(!delivery.redelivered && !delivery.one_way && !delivery.accept_stream);
    assert_eq!((delivery.expires, delivery.attempt, &*delivery.broker), (None, 1, "broker:61613"));
    assert_eq!(delivery.headers().len(), 10);
}

#[test]
fn targets_by_every_name_in_order() {
    let cases: &[(&[Pair<'_>], &str)] = &[
        (&[("http_requestUrl", "/a?b")], "/a?b"),
        (&[("CamelHttpUri", "/a?b")], "/a?b"),
        (&[("CamelHttpUri", "/a"), ("CamelHttpQuery", "b=c")], "/a?b=c"),
        (&[("CamelHttpUri", "/a?x"), ("CamelHttpRawQuery", "b"), ("CamelHttpQuery", "c")], "/a?b"),
        (&[("CamelHttpPath", "/a")], "/a"),
        (&[("CamelHttpPath", "a"), ("CamelHttpQuery", "q=a b\u{e9}")], "/a?q=a%20b%C3%A9"),
        (&[("CamelHttpPath", ""), ("CamelHttpQuery", "?q")], "/?q"),
        (&[("org.apache.cxf.request.uri", "/a")], "/a"),
        (&[("org_DOT_apache_DOT_cxf_DOT_request_DOT_uri", "/a")], "/a"),
        (&[("SOAPJMS_requestURI", "/a")], "/a"),
        (&[("SOAPJMS_requestURI", "jms:queue:in?targetService=s")], "/?targetService=s"),
        (&[("CamelHttpUri", "/b"), ("http_requestUrl", "/a"), ("CamelHttpQuery", "q")], "/a"),
        (&[("CamelHttpPath", "/b"), ("CamelHttpUri", "/a")], "/a"),
        (&[("org.apache.cxf.request.uri", "/b"), ("CamelHttpPath", "/a")], "/a"),
        (&[("SOAPJMS_requestURI", "/b"), ("org.apache.cxf.request.uri", "/a")], "/a"),
        (&[("http_requestUrl", "/a"), ("http_requestUrl", "/b")], "/a"),
        (&[("CamelHttpQuery", "q")], "/"),
    ];
    for (given, target) in cases {
        assert_eq!(request(&call(given, "")).target, target, "{given:?}");
    }
}

#[test]
fn methods() {
    let cases: &[(&[Pair<'_>], &str, &str)] = &[
        (&[("http_requestMethod", "PATCH"), ("CamelHttpMethod", "PUT")], "", "PATCH"),
        (&[("CamelHttpMethod", "PUT"), ("org.apache.cxf.request.method", "GET")], "", "PUT"),
        (&[("org.apache.cxf.request.method", "DELETE")], "", "DELETE"),
        (&[("http_requestMethod", "get")], "", "get"),
        (&[("http_requestUrl", "/a")], "", "GET"),
        (&[("http_requestUrl", "/a")], "body", "POST"),
        (&[], "", "POST"),
        (&[("content-type", "text/plain"), ("X-A", "b")], "", "POST"),
        (&[("OnewayRequest", "true")], "", "NOTIFY"),
        (&[("OnewayRequest", "true"), ("http_requestMethod", "POST")], "", "POST"),
    ];
    for (given, body, method) in cases {
        assert_eq!(request(&call(given, body)).method, *method, "{given:?}");
    }
    assert_eq!(request(&message(&[], "x")).method, "NOTIFY", "a bare message without reply-to");
    assert_eq!(request(&message(&[("http_requestUrl", "/a")], "")).method, "NOTIFY");
}

#[test]
fn methods_are_short_tokens() {
    for method in ["", "G T", "GET\r\nX: y", "GET/", "G\u{c9}T", &"X".repeat(33)] {
        let rejected = map(&Mapping::default(), &call(&[("http_requestMethod", method)], "")).unwrap_err();
        assert_eq!(rejected.reason, Reason::Method, "{method:?}");
        assert!(rejected.can_answer());
    }
    assert_eq!(request(&call(&[("http_requestMethod", &"X".repeat(32))], "")).method.len(), 32);
}

#[test]
fn one_way() {
    let cases: &[(&[Pair<'_>], bool)] = &[
        (&[("reply-to", "/queue/r")], false),
        (&[("reply-to", "")], true),
        (&[], true),
        (&[("reply-to", "/queue/r"), ("http_requestMethod", "NOTIFY")], true),
        (&[("reply-to", "/queue/r"), ("http_requestMethod", "notify")], false),
        (&[("reply-to", "/queue/r"), ("CamelHttpMethod", "NOTIFY")], true),
        (&[("reply-to", "/queue/r"), ("OnewayRequest", "true")], true),
        (&[("reply-to", "/queue/r"), ("OnewayRequest", "True")], true),
        (&[("reply-to", "/queue/r"), ("OnewayRequest", "false")], false),
        (&[("reply-to", "/queue/r"), ("destination", "/topic/t")], true),
        (&[("reply-to", "/queue/r"), ("destination", "/temp-topic/t")], true),
        (&[("reply-to", "/queue/r"), ("destination-type", "MULTICAST")], true),
        (&[("reply-to", "/queue/r"), ("destination-type", "ANYCAST")], false),
        // Nobody is answered, so that it is no matter where.
        (&[("reply-to", "/topic/r"), ("http_requestMethod", "NOTIFY")], true),
    ];
    for (given, one_way) in cases {
        let request = request(&message(given, ""));
        assert_eq!(request.delivery.one_way, *one_way, "{given:?}");
    }
}

#[test]
fn streams_are_for_those_who_wait() {
    let accept = ("http_acceptStream", "true");
    assert!(request(&call(&[accept], "")).delivery.accept_stream);
    assert!(!request(&call(&[("http_acceptStream", "false")], "")).delivery.accept_stream);
    assert!(!request(&message(&[accept], "")).delivery.accept_stream);
}

#[test]
fn bare_messages_go_to_the_default_path() {
    let long = "/queue/a b/\u{e9}?c#{type}";
    for (default_path, given, target) in [
        ("/", &[][..], "/"),
        ("/inbox", &[], "/inbox"),
        ("inbox?bare=1", &[], "/inbox?bare=1"),
        ("/{destination}", &[], "/queue/in"),
        ("/m/{destination}/{type}", &[("type", "created")], "/m/queue/in/created"),
        ("/m/{type}", &[("JMSType", "a/b c?d")], "/m/a%2Fb%20c%3Fd"),
        ("/m/{type}", &[], "/m/"),
        ("/m/{other}{", &[], "/m/{other}{"),
        ("/{destination}", &[("destination", long)], "/queue/a%20b/%C3%A9%3Fc%23%7Btype%7D"),
        ("/m", &[("http_requestMethod", "GET")], "/m"),
    ] {
        let mapping = Mapping { default_path: default_path.into(), ..Mapping::default() };
        let request = map(&mapping, &message(given, "")).expect("the path is fine");
        assert_eq!(request.target, target, "{default_path} {given:?}");
    }
}

#[test]
fn impossible_targets_are_answered_400() {
    for url in ["/a b", "/a\nb", "/\0", "ftp://x/y", "http:///", "http://a@b/"] {
        let rejected = map(&Mapping::default(), &call(&[("http_requestUrl", url)], "")).unwrap_err();
        assert!(matches!(rejected.reason, Reason::Target(_)), "{url:?}");
        assert_eq!(rejected.status(), 400);
        assert!(rejected.can_answer());
        assert_eq!(rejected.delivery.message_id(), b"m-1");
    }
    let rejected = map(&Mapping::default(), &message(&[("http_requestUrl", "/a b")], "")).unwrap_err();
    assert!(rejected.delivery.one_way && !rejected.can_answer());
}

#[test]
fn camel_queries_carry_no_control_characters() {
    let given = [("CamelHttpPath", "/a"), ("CamelHttpQuery", "a\r\nb")];
    assert!(map(&Mapping::default(), &call(&given, "")).is_err());
}

#[test]
fn the_asterisk_is_for_options() {
    let with = |method| request(&call(&[("http_requestMethod", method), ("http_requestUrl", "*")], ""));
    assert_eq!((with("OPTIONS").path, with("OPTIONS").target), (b"*".to_vec(), "*".into()));
    assert_eq!((with("GET").path, with("GET").target), (b"/*".to_vec(), "/*".into()));
}

#[test]
fn hosts() {
    let cases: &[(&[Pair<'_>], Option<&str>)] = &[
        (&[], None),
        (&[("Host", "a.example:8080")], Some("a.example:8080")),
        (&[("host", "a.example")], Some("a.example")),
        (&[("http_requestUrl", "http://b.example/x")], Some("b.example")),
        (&[("Host", "a.example"), ("http_requestUrl", "http://b.example/x")], Some("b.example")),
        (&[("Host", " a.example ")], Some("a.example")),
        (&[("Host", "")], None),
        (&[("Host", " ")], None),
        (&[("Host", ""), ("http_requestUrl", "http://b.example/x")], Some("b.example")),
    ];
    for (given, host) in cases {
        let request = request(&call(given, ""));
        assert_eq!(request.host(), host.map(str::as_bytes), "{given:?}");
        let named: Vec<_> =
            headers(&request).into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).collect();
        assert_eq!(named.first().map(|(_, value)| value.as_str()), *host, "{given:?}");
        assert_eq!(named.len(), usize::from(host.is_some()), "{given:?}");
    }
}

/// As in structured mode: an application that checks hosts (Django's DisallowedHost) must not take it for one without.
#[test]
fn a_host_that_can_be_none_is_rejected() {
    for host in [
        "a:80:80", "u@a", "a/b", "a b", "a:x", "a?b", "a#b", "[::1", "[zz]", "a\\b", "<a>", ":80", "\u{e9}",
        "a%",
    ] {
        for url in ["/", "http://b.example/"] {
            for name in ["Host", "host", "HOST"] {
                let rejected = map(&Mapping::default(), &call(&[(name, host), ("http_requestUrl", url)], ""))
                    .unwrap_err();
                assert_eq!((rejected.status(), rejected.can_answer()), (400, true), "{host}");
                assert!(matches!(rejected.reason, Reason::Host), "{host}");
            }
        }
        let whole = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let structured = call(&[("content-type", "application/http")], &whole);
        assert_eq!(map(&Mapping::default(), &structured).unwrap_err().status(), 400, "{host}");
        assert!(!map(&Mapping::default(), &message(&[("Host", host)], "")).unwrap_err().can_answer());
    }
}

/// A gateway may have copied what its own connection was about: with it an application would undo a framing that is
/// undone, or take a body for compressed.
#[test]
fn what_concerns_a_connection_stays_there() {
    for name in [
        "Transfer-Encoding",
        "transfer-encoding",
        "Transfer_Encoding",
        "Transfer_HYPHEN_Encoding",
        "TE",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "proxy-authorization",
        "Proxy-Authenticate",
        "Trailer",
        "Upgrade",
    ] {
        let request = request(&call(&[(name, "chunked"), ("X-A", "b")], "body"));
        assert_eq!(headers(&request), [("X-A".to_owned(), "b".to_owned())], "{name}");
        assert_eq!(request.delivery.headers().get(name), Some(&b"chunked"[..]));
    }
    // And what it says is for the next hop alone.
    let listed = [
        ("HTTP2-Settings", "x"),
        ("X-Hop", "1"),
        ("connection", "close, x_hop,\tHTTP2-Settings , host, content-type,"),
        ("x-b", "2"),
        ("Host", "a"),
        ("Content-Type", "text/plain"),
    ];
    let property = request(&call(&listed, ""));
    let whole: String = listed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let whole = format!("GET / HTTP/1.1\r\n{whole}TE: trailers\r\nTrailer: a\r\nKeep-Alive: 5\r\n\r\n");
    let structured = request(&call(&[("content-type", "application/http")], &whole));
    for request in [property, structured] {
        let expected = [("x-b", "2"), ("Host", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers(&request), expected);
        assert_eq!(request.content_type.as_deref(), Some(&b"text/plain"[..]));
    }
}

/// RabbitMQ makes this header of AMQP's property `content_encoding`, which Python's clients set to a charset.
#[test]
fn a_charset_is_no_content_coding() {
    for (value, passes) in [
        ("gzip", true),
        ("GZIP", true),
        ("deflate, br", true),
        ("identity", true),
        ("zstd", true),
        ("utf-8", false),
        ("UTF8", false),
        ("iso-8859-1", false),
        ("binary", false),
        ("base64", false),
        ("gzip, utf-8", false),
        ("", false),
    ] {
        for name in ["content-encoding", "Content-Encoding"] {
            let request = request(&call(&[(name, value)], "x"));
            assert_eq!(!headers(&request).is_empty(), passes, "{value}");
        }
    }
}

#[test]
fn content_types_by_every_name() {
    let cases: &[(&[Pair<'_>], Option<&str>)] = &[
        (&[], None),
        (&[("content-type", "a/b")], Some("a/b")),
        (&[("Content-Type", "a/b")], Some("a/b")),
        (&[("content_type", "a/b")], Some("a/b")),
        (&[("contentType", "a/b")], Some("a/b")),
        (&[("SOAPJMS_contentType", "a/b")], Some("a/b")),
        (&[("Content_HYPHEN_Type", "a/b")], Some("a/b")),
        (&[("CONTENT_TYPE", "a/b")], Some("a/b")),
        (&[("contentType", "x/y"), ("Content-Type", "a/b"), ("content_type", "x/y")], Some("a/b")),
        (&[("Content-Type", "x/y"), ("content-type", "a/b"), ("content-type", "x/y")], Some("a/b")),
        (&[("content-type", ""), ("contentType", "a/b")], Some("a/b")),
        (&[("content-type", "a/b\r\n; c=d")], Some("a/b  ; c=d")),
    ];
    for (given, content_type) in cases {
        let request = request(&call(given, ""));
        assert_eq!(request.content_type.as_deref(), content_type.map(str::as_bytes), "{given:?}");
        assert_eq!(headers(&request), [], "{given:?}");
    }
}

#[test]
fn headers_that_fold_to_one_key() {
    let cases: &[(&[Pair<'_>], Pair<'_>)] = &[
        (&[("X_Tenant", "a"), ("X-Tenant", "b")], ("X-Tenant", "b")),
        (&[("X-Tenant", "b"), ("X_Tenant", "a")], ("X-Tenant", "b")),
        (&[("X_Tenant", "a"), ("X_HYPHEN_Tenant", "b")], ("X-Tenant", "b")),
        (&[("X_A_B", "a"), ("X-A_B", "b"), ("X-A-B", "c")], ("X-A-B", "c")),
        (&[("X-Tenant", "a"), ("x-tenant", "b")], ("X-Tenant", "a")),
        (&[("X-Tenant", "a"), ("X-Tenant", "b")], ("X-Tenant", "a")),
        (&[("X_Tenant", "a")], ("X_Tenant", "a")),
    ];
    for (given, (name, value)) in cases {
        assert_eq!(
            headers(&request(&call(given, ""))),
            [((*name).to_owned(), (*value).to_owned())],
            "{given:?}"
        );
    }
}

#[test]
fn strict_headers_reject_what_is_ambiguous() {
    let strict = Mapping { strict_headers: true, ..Mapping::default() };
    let rejected = map(&strict, &call(&[("X_Tenant", "a"), ("X-Tenant", "b")], "")).unwrap_err();
    assert_eq!(rejected.reason, Reason::AmbiguousHeaders("X_Tenant".into(), "X-Tenant".into()));
    assert!(map(&strict, &call(&[("x-tenant", "a"), ("X-Tenant", "b")], "")).is_err());
    // RabbitMQ appends a sender's repeats; they are no fault of the message.
    assert!(map(&strict, &call(&[("X-Tenant", "a"), ("X-Tenant", "b")], "")).is_ok());
    let types = |one, other| map(&strict, &call(&[("content-type", one), other], ""));
    for name in ["content_type", "Content-Type", "Content_HYPHEN_Type", "contentType"] {
        let rejected = types("text/plain", (name, "application/json")).unwrap_err();
        assert_eq!(rejected.reason, Reason::AmbiguousHeaders("content-type".into(), name.into()));
        // A gateway and a client may both say it.
        assert!(types("text/plain", (name, "text/plain")).is_ok(), "{name}");
        assert_eq!(types("  ", (name, "a/b")).unwrap().content_type.as_deref(), Some(&b"a/b"[..]), "{name}");
    }
}

#[test]
fn reserved_headers_never_pass() {
    let request = request(&call(
        &[
            ("expires", "0"),
            ("priority", "4"),
            ("timestamp", "1"),
            ("JMSXUserID", "root"),
            ("http_remoteUser", "root"),
            ("AMQ_SCHEDULED_DELAY", "1"),
            ("_AMQ_X", "1"),
            ("amqp-message-id", "1"),
            ("x-death", "1"),
            ("Proxy", "http://evil"),
            ("PROXY", "http://evil"),
            ("content_HYPHEN_length", "1"),
            ("Content-Length", "999"),
            ("Content_Length", "999"),
            ("JMS_HYPHEN_X", "1"),
            ("x_HYPHEN_death", "1"),
            ("CamelHttpResponseCode", "1"),
            ("SOAPJMS_soapAction", "1"),
            ("contentType", "a/b"),
            ("a b", "1"),
            ("a:b", "1"),
            ("\u{e9}", "1"),
            ("receipt", "leaked"),
            ("transaction", "leaked"),
            ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Priority", "u=1"),
            ("X-Death", "mine"),
        ],
        "",
    ));
    let names: Vec<String> = headers(&request).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Expires", "Priority", "X-Death"]);
}

#[test]
fn values_are_as_http_has_them() {
    let given = [("X-A", "  a\r\nSet-Cookie: b\0c\t"), ("X-B", ""), ("X-C", "caf\u{e9}"), ("X-D", " \r\n")];
    let expected = [("X-A", "a  Set-Cookie: b c"), ("X-B", ""), ("X-C", "caf\u{e9}"), ("X-D", "")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers(&request(&call(&given, ""))), expected);
}

#[test]
fn reply_to_must_be_allowed() {
    let refused = |mapping: &Mapping, reply_to: &str| {
        let rejected = map(mapping, &message(&[("reply-to", reply_to)], "")).unwrap_err();
        assert!(!rejected.can_answer() && !rejected.delivery.one_way);
        rejected.reason
    };
    let mut mapping = Mapping::default();
    assert_eq!(refused(&mapping, "/topic/all"), Reason::ReplyTo(ReplyToError::NotAllowed));
    mapping.consumed.extend(["/queue/in".to_owned()]);
    assert_eq!(refused(&mapping, "in"), Reason::ReplyTo(ReplyToError::Consumed));
    mapping.allow_reply_to = vec!["*".into()];
    assert!(map(&mapping, &message(&[("reply-to", "/topic/all")], "")).is_ok());
    assert_eq!(refused(&mapping, "/queue/in"), Reason::ReplyTo(ReplyToError::Consumed));
}

#[test]
fn a_user_is_the_brokers_word_and_only_when_asked() {
    let claims = [("JMSXUserID", "ann"), ("user-id", "root"), ("REMOTE_USER", "root")];
    assert_eq!(request(&call(&claims, "")).delivery.user, None);
    let mut mapping = Mapping { trust_user_header: Some("JMSXUserID".into()), ..Mapping::default() };
    let trusted = map(&mapping, &call(&claims, "")).unwrap();
    assert_eq!(trusted.delivery.user.as_deref(), Some(&b"ann"[..]));
    // What is HTTP's in it is HTTP_REMOTE_USER, which says nothing.
    assert_eq!(headers(&trusted), [("REMOTE_USER".to_owned(), "root".to_owned())]);
    for spelling in ["JMSXUserId", "jmsxuserid", "JMSXUserID ", "JMS_HYPHEN_XUserID", "REMOTE_USER"] {
        assert_eq!(
            map(&mapping, &call(&[(spelling, "root")], "")).unwrap().delivery.user,
            None,
            "{spelling}"
        );
    }
    // Two of them, and one is a sender's. An empty one is nobody, and does not let a second one speak.
    for twice in [["ann", "root"], ["root", "root"], ["", "root"], ["root", ""]] {
        let twice = call(&twice.map(|user| ("JMSXUserID", user)), "");
        assert_eq!(map(&mapping, &twice).unwrap().delivery.user, None, "{twice:?}");
    }
    assert_eq!(map(&mapping, &call(&[("JMSXUserID", "")], "")).unwrap().delivery.user, None);
    // Nor does a whole request speak for the broker.
    let whole = "GET / HTTP/1.1\r\nHost: a\r\nJMSXUserID: root\r\nRemote-User: root\r\n\r\n";
    let whole = call(&[("content-type", "application/http; msgtype=request")], whole);
    assert_eq!(map(&mapping, &whole).unwrap().delivery.user, None);
    mapping.trust_user_header = None;
    assert_eq!(map(&mapping, &whole).unwrap().delivery.user, None);
}

#[test]
fn no_escape_makes_a_header_of_a_value_or_a_proxy_of_anything() {
    let mapped = request(&call(
        &[
            ("X_HYPHEN_A\r\nProxy", "http://evil"),
            ("X_HYPHEN_B\n", "1"),
            ("X_HYPHEN_\0C", "1"),
            ("pRoXy", "http://evil"),
            ("http_HYPHEN_x", "kept apart from http_"),
            ("X_HYPHEN_D", "1\r\nProxy: http://evil"),
            ("X_DOT_E", "_HYPHEN_\n_DOT_"),
        ],
        "",
    ));
    let expected =
        [("http-x", "kept apart from http_"), ("X-D", "1  Proxy: http://evil"), ("X.E", "_HYPHEN_ _DOT_")];
    assert_eq!(headers(&mapped), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn expiry() {
    for (value, expires) in [
        ("1700000000000", Some(1_700_000_000_000)),
        ("0", None),
        ("Thu, 01 Jan", None),
        ("-1", None),
        ("", None),
    ] {
        let delivery = request(&call(&[("expires", value)], "")).delivery;
        assert_eq!(delivery.expires, expires, "{value}");
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(delivery.is_expired(at(1_700_000_000_000)), expires.is_some(), "{value}");
        assert!(!delivery.is_expired(at(1_699_999_999_999)), "{value}");
        assert!(!delivery.is_expired(UNIX_EPOCH - Duration::from_secs(1)), "{value}");
    }
}

#[test]
fn redelivery_is_the_brokers_word() {
    for (value, redelivered) in [("true", true), ("false", false), ("TRUE", false)] {
        assert_eq!(request(&call(&[("redelivered", value)], "")).delivery.redelivered, redelivered);
    }
}

#[test]
fn correlation_is_the_senders_then_the_messages() {
    let cases: &[(&[Pair<'_>], Option<&str>)] = &[
        (&[("correlation-id", "c"), ("amqp-message-id", "a")], Some("c")),
        (&[("amqp-message-id", "a")], Some("a")),
        (&[], Some("m-1")),
        (&[("message-id", "")], None),
        (&[("correlation-id", "")], Some("")),
    ];
    for (given, correlation) in cases {
        let delivery = request(&call(given, "")).delivery;
        assert_eq!(delivery.correlation(), correlation.map(str::as_bytes), "{given:?}");
    }
}
