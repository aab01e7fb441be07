use super::*;

fn connect(bed: &mut Bed, offer: &str) -> (ConnId, Frame) {
    let client = bed.accept();
    let mut frames =
        bed.ask(client, &format!("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:{offer}\n\n\0"));
    (client, frames.remove(0))
}

/// B1, B2: as ActiveMQ, the broker takes the client's intervals; it has a floor.
#[test]
fn the_broker_mirrors_what_the_client_offers() {
    for (theirs, ours) in
        [("0,0", "0,0"), ("10000,0", "0,10000"), ("0,250", "250,0"), ("100,200", "200,100"), ("1,1", "10,10")]
    {
        assert_eq!(header(&connect(&mut Bed::new(), theirs).1, "heart-beat"), ours);
    }
    for wrong in ["", "1", "-1,0", "a,b", "1,2,3"] {
        assert_eq!(connect(&mut Bed::new(), wrong).1.command, Command::Error, "{wrong}");
    }
}

/// B3
#[test]
fn a_silent_client_is_dropped_after_twice_its_interval() {
    let mut bed = Bed::new();
    let (client, _) = connect(&mut bed, "1000,0");
    bed.advance(2_000);
    assert_eq!(bed.broker.status(client), Status::Open);
    bed.put(client, "\n");
    bed.advance(2_100);
    assert_eq!(bed.broker.status(client), Status::Open);
    bed.advance(101);
    assert_eq!(message(&bed.fatal(client)), "no heart-beat from the client");
}

/// B3: any octets count, and part of a frame is enough (a slow upload).
#[test]
fn part_of_a_frame_is_a_sign_of_life() {
    let mut bed = Bed::new();
    let (client, _) = connect(&mut bed, "1000,0");
    bed.put(client, "SEND\ndestination:/queue/a\n\n");
    for _ in 0..10 {
        bed.advance(1_500);
        bed.put(client, "x");
    }
    bed.put(client, "\0");
    assert_eq!(bed.waiting("/queue/a"), 1);
}

/// B2, B4, B5
#[test]
fn the_broker_beats_well_within_the_interval_and_only_when_idle() {
    let mut bed = Bed::new();
    let (client, _) = connect(&mut bed, "0,1000");
    for _ in 0..4 {
        bed.advance(500);
        assert_eq!(bed.broker.outbox(client), b"\n");
        bed.broker.sent(client, bed.now, 1);
    }
    // A frame that waits to be written is not interrupted by beats, nor does the clock spin meanwhile.
    bed.put(client, "SEND\ndestination:/queue/a\nreceipt:1\n\n\0");
    let receipt = bed.broker.outbox(client).to_vec();
    bed.advance(5_000);
    assert_eq!(bed.broker.outbox(client), receipt);
}

#[test]
fn there_are_none_in_1_0() {
    let mut bed = Bed::new();
    let client = bed.accept();
    bed.put(client, "CONNECT\nheart-beat:100,100\n\n\0");
    assert_eq!(header(&bed.one(client), "heart-beat"), "0,0");
    bed.advance(10_000);
    assert_eq!(bed.broker.status(client), Status::Open);
    bed.nothing(client);
}

#[test]
fn idle_brokers_have_nothing_to_wait_for() {
    let mut bed = Bed::new();
    bed.connect("1.2");
    bed.advance(60_000);
    assert_eq!(bed.broker.deadline(), None);
}
