//! Two ends that do whatever a seed says, over a network as bad as it says. A test that fails names its
//! seed.

use std::collections::BTreeSet;

use super::*;

/// A message that says which it is, so that none is taken for another.
fn message(end: usize, channel: u16, number: usize, len: usize) -> Vec<u8> {
    let name = [end as u8, channel as u8, (channel >> 8) as u8, number as u8, (number >> 8) as u8];
    let mut random =
        Random(u64::from_le_bytes([name[0], name[1], name[2], name[3], name[4], 0, 0, 0]));
    name.into_iter().chain(std::iter::repeat_with(|| random.next() as u8)).take(len).collect()
}

fn settings(mode: Mode, random: &mut Random) -> Config {
    let mut settings = if random.percent(70) { config(mode) } else { plain(mode) };
    if random.percent(40) {
        settings.offer.offers &= !BATCH;
    }
    settings.packet_bytes = 512 + random.below(1000) as usize;
    settings.window_packets = 1 + random.below(20) as u32;
    settings.channels_max = 2 + random.below(6) as usize;
    settings.rekey_packets = 2 + random.below(30);
    if random.percent(30) {
        settings.channel_rate = Rate { packets: 20 + random.below(100) as u32, bytes: 0 };
    }
    if random.percent(20) {
        settings.session_rate = Rate { packets: 0, bytes: 20_000 + random.below(100_000) as u32 };
    }
    settings
}

fn network(random: &mut Random) -> Network {
    let bad = random.below(25);
    Network {
        delay_ms: 1 + random.below(60),
        jitter_ms: random.below(80) * u64::from(random.percent(60)),
        loss: bad,
        doubled: random.below(20),
    }
}

/// Short messages at once, and now and then one that is not.
fn say_many(pair: &mut Pair, numbers: &mut [usize; 2], end: usize, channel: u16) {
    let count = 1 + pair.random.below(40) as usize;
    let messages: Vec<_> = (numbers[end]..numbers[end] + count)
        .map(|number| {
            let most = if pair.random.percent(10) { 2000 } else { 100 };
            message(end, channel, number, 5 + pair.random.below(most) as usize)
        })
        .collect();
    numbers[end] += count;
    pair.say_all(end, channel, messages);
}

/// One thing that an application does.
fn act(pair: &mut Pair, numbers: &mut [usize; 2]) {
    let end = pair.random.below(2) as usize;
    let writable = pair.ends[end].writable();
    let pick = |pair: &mut Pair| {
        let count = writable.len() as u64;
        (count > 0).then(|| writable[pair.random.below(count.max(1)) as usize])
    };
    match pair.random.below(20) {
        0..3 => _ = pair.ends[end].connection.open_channel(pair.now, 0x10, true),
        3..12 => {
            if let Some(channel) = pick(pair) {
                if pair.random.percent(30) {
                    return say_many(pair, numbers, end, channel);
                }
                // Those of one size could be joined wrongly.
                let len = match pair.random.below(10) {
                    0 => 5 + pair.random.below(6000) as usize,
                    1 | 2 => 3000,
                    _ => 5 + pair.random.below(300) as usize,
                };
                let message = message(end, channel, numbers[end], len);
                numbers[end] += 1;
                pair.say(end, channel, &message);
            }
        }
        12..16 => {
            let waiting: Vec<u16> = pair.ends[end].unconsumed.keys().copied().collect();
            for channel in waiting {
                let packets = pair.random.below(20) as u32;
                pair.consume(end, channel, packets);
            }
        }
        16 => {
            let channel = if pair.random.percent(30) { Some(0) } else { pick(pair) };
            _ = channel.map(|channel| pair.ends[end].connection.rekey(channel));
        }
        17 => {
            if let Some(channel) = pick(pair) {
                pair.shut(end, channel);
            }
        }
        _ => pair.ends[end].consumes = pair.random.percent(50),
    }
}

/// Lets everything that was begun come to an end, and both ends close.
fn finish(pair: &mut Pair) {
    for end in 0..2 {
        pair.ends[end].consumes = true;
        let waiting: Vec<u16> = pair.ends[end].unconsumed.keys().copied().collect();
        waiting.into_iter().for_each(|channel| pair.consume(end, channel, u32::MAX));
    }
    let end = pair.now.after_ns(600_000 * MS);
    while pair.step(end) && !pair.ends.iter().all(End::is_drained) {}
    pair.run_ms(5_000);
    pair.close(0, Code::None);
    for _ in 0..40 {
        pair.run_ms(200);
        if pair.ends[1].has(Event::Closing { code: Code::None }) {
            pair.close(1, Code::None);
        }
    }
    // A close that nobody heard of is found by silence.
    pair.run_ms(40_000);
}

fn check(pair: &Pair, seed: u64) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = (&pair.ends[from], &pair.ends[to]);
        for (key, messages) in &to.inbox {
            let sent = from.sent.get(key).map_or(&[][..], |sent| sent);
            let mut rest = sent.iter();
            // In order and none twice; where packets are lost, not all.
            let all_sent = messages.iter().all(|message| rest.any(|sent| sent == message));
            assert!(all_sent, "seed {seed}: on {key:?} {} of {}", messages.len(), sent.len());
        }
        if pair.mode == Mode::Stream {
            let keys: BTreeSet<_> = from.sent.keys().chain(to.inbox.keys()).collect();
            for key in keys {
                assert!(from.sent.get(key) == to.inbox.get(key), "seed {seed}: {key:?}");
            }
        }
    }
    for (end, this) in pair.ends.iter().enumerate() {
        let cause = this.cause().unwrap_or_else(|| panic!("seed {seed}: {end} goes on"));
        let lost = [
            Cause::Fault(Fault::CloseTimeout),
            Cause::Fault(Fault::Silent),
            Cause::Peer(Code::Timeout),
        ];
        let fair = cause == Cause::Closed(Code::None)
            || pair.mode == Mode::Datagram && lost.contains(&cause);
        assert!(fair, "seed {seed}: {end} ended by {cause:?}");
        // What overtakes the end of the handshake counts as malformed.
        let statistics = this.connection.statistics();
        assert_eq!(statistics.forged, 0, "seed {seed}: {end}");
        assert!(statistics.malformed == 0 || pair.mode == Mode::Datagram, "seed {seed}: {end}");
    }
}

/// Runs a seed; the number of messages that arrived, of those that were sent.
fn run(mode: Mode, seed: u64) -> (usize, usize) {
    let mut random = Random(seed ^ 0x5eed);
    let mut configs = [settings(mode, &mut random), settings(mode, &mut random)];
    configs[1].offer = configs[0].offer;
    let network = network(&mut random);
    let mut pair = Pair::new(configs, network, seed);
    pair.run_ms(4_900);
    if mode == Mode::Datagram && pair.ends.iter().any(|end| !end.has(Event::Connected)) {
        // The network let too little of the handshake through.
        pair.run_ms(60_000);
        assert!(pair.ends.iter().all(|end| end.cause().is_some()), "seed {seed}");
        return (0, 0);
    }
    let mut numbers = [0, 0];
    for _ in 0..150 {
        act(&mut pair, &mut numbers);
        let pause = pair.random.below(60);
        pair.run_ms(pause);
    }
    finish(&mut pair);
    check(&pair, seed);
    let sum = |of: fn(&End) -> usize| pair.ends.iter().map(of).sum();
    let arrived: fn(&End) -> usize = |end| end.inbox.values().map(Vec::len).sum();
    let sent: fn(&End) -> usize = |end| end.sent.values().map(Vec::len).sum();
    (sum(arrived), sum(sent))
}

#[test]
fn over_a_byte_stream_everything_arrives_whatever_happens() {
    let (mut arrived, mut sent) = (0, 0);
    for seed in 0..120 {
        println!("seed {seed}");
        let (here, there) = run(Mode::Stream, seed);
        (arrived, sent) = (arrived + here, sent + there);
    }
    assert!(arrived == sent && sent > 2_000, "{arrived} of {sent}");
}

#[test]
fn over_datagrams_nothing_arrives_twice_or_out_of_order_whatever_happens() {
    let (mut arrived, mut sent) = (0, 0);
    for seed in 0..200 {
        println!("seed {seed}");
        let (here, there) = run(Mode::Datagram, seed);
        (arrived, sent) = (arrived + here, sent + there);
    }
    assert!(arrived * 4 > sent && sent > 2_000, "{arrived} of {sent}");
}
