use super::*;

/// A buffer as the kernel fills it.
fn filled(name: &[u8], control: &[u8], payload: &[u8], flags: i32) -> Vec<u8> {
    let words = [name.len(), control.len(), payload.len(), flags as usize];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| (*word as u32).to_ne_bytes()).collect();
    bytes.extend(name);
    bytes.resize(OUT_BYTES + DATAGRAM_NAME_BYTES, 0xaa);
    bytes.extend(control);
    bytes.resize(DATAGRAM_HEAD_BYTES, 0xaa);
    bytes.extend(payload);
    bytes
}

fn name(address: &str) -> Vec<u8> {
    let mut out = [0; NAME_BYTES_MAX];
    let len = write_name(&address.parse().unwrap(), &mut out);
    out[..len].to_vec()
}

fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut out = [0; CONTROL_BYTES_MAX];
    let len = write_message(level, kind, data, &mut out);
    out[..len].to_vec()
}

#[test]
fn a_datagram_says_who_sent_it_where_to_and_what_it_met() {
    let control = [
        message(libc::IPPROTO_IP, libc::IP_PKTINFO, &[1, 0, 0, 0, 127, 0, 0, 2, 224, 0, 0, 1]),
        message(libc::IPPROTO_IP, libc::IP_TOS, &[0b1011]),
        message(libc::SOL_UDP, libc::UDP_GRO, &1200u32.to_ne_bytes()),
        message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7u32.to_ne_bytes()),
    ];
    let bytes = filled(&name("192.0.2.1:9"), &control.concat(), b"payload", 0);
    let received = parse(&bytes).unwrap();
    assert_eq!(received.source, "192.0.2.1:9".parse().unwrap());
    assert_eq!(received.local, Some("127.0.0.2".parse().unwrap()));
    assert_eq!((received.ecn, received.segment_bytes, received.lost), (3, Some(1200), Some(7)));
    assert!(!received.is_cut);
    assert_eq!(&bytes[received.payload], b"payload");
}

#[test]
fn over_ipv6_the_traffic_class_is_an_int_and_a_group_is_no_address_of_ours() {
    let class = message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &0xb9u32.to_ne_bytes());
    let info = |address: &str| {
        let mut info = address.parse::<Ipv6Addr>().unwrap().octets().to_vec();
        info.extend(2u32.to_ne_bytes());
        message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
    };
    let parsed = |address| {
        let control = [class.clone(), info(address)].concat();
        parse(&filled(&name("[2001:db8::1]:53"), &control, b"", 0)).unwrap()
    };
    assert_eq!((parsed("::1").local, parsed("::1").ecn), (Some("::1".parse().unwrap()), 1));
    assert_eq!(parsed("ff02::1").local, None);
}

#[test]
fn one_that_is_longer_than_its_room_is_said_to_be_cut() {
    let flagged = filled(&name("192.0.2.1:9"), &[], b"pay", libc::MSG_TRUNC);
    assert!(parse(&flagged).unwrap().is_cut);
    let mut longer = filled(&name("192.0.2.1:9"), &[], b"pay", 0);
    longer[8] = 4;
    let cut = parse(&longer).unwrap();
    assert!(cut.is_cut && longer[cut.payload].len() == 3);
}

#[test]
fn what_is_no_datagram_of_an_ip_peer_is_refused() {
    let whole = filled(&name("192.0.2.1:9"), &[], b"", 0);
    for bytes in 0..DATAGRAM_HEAD_BYTES {
        assert_eq!(parse(&whole[..bytes]), None, "{bytes} bytes");
    }
    assert_eq!(parse(&filled(&[1, 0, 0, 0], &[], b"x", 0)), None, "of a Unix socket");
    assert_eq!(parse(&filled(&[2, 0, 0], &[], b"x", 0)), None, "an address cut short");
}

#[test]
fn control_data_that_does_not_hold_together_is_read_up_to_there() {
    let good = message(libc::IPPROTO_IP, libc::IP_TOS, &[2]);
    for len in [0usize, 15, 25, usize::MAX] {
        let mut bad = good.clone();
        bad[..8].copy_from_slice(&len.to_ne_bytes());
        let bytes = filled(&name("192.0.2.1:9"), &[good.clone(), bad].concat(), b"x", 0);
        assert_eq!(parse(&bytes).unwrap().ecn, 2, "a length of {len}");
    }
}

#[test]
fn what_is_written_for_a_send_reads_back() {
    for (local, segment) in [("127.0.0.3", None), ("::1", Some(1400)), ("10.0.0.1", Some(1))] {
        let local: IpAddr = local.parse().unwrap();
        let mut out = [0xff; CONTROL_BYTES_MAX];
        let len = write_control(Some(local), segment, &mut out);
        let messages: Vec<_> = ControlMessages(&out[..len]).collect();
        assert_eq!(messages.len(), 1 + usize::from(segment.is_some()));
        let address = messages[0].2;
        match local {
            IpAddr::V4(v4) => assert_eq!(address[4..8], v4.octets()),
            IpAddr::V6(v6) => assert_eq!(address[..16], v6.octets()),
        }
        if let Some(bytes) = segment {
            assert_eq!(messages[1].2, bytes.to_ne_bytes());
        }
    }
    assert_eq!(write_control(None, None, &mut [0; CONTROL_BYTES_MAX]), 0);
    for address in ["192.0.2.7:80", "[fe80::1%3]:9"] {
        let mut out = [0xff; NAME_BYTES_MAX];
        let address = address.parse().unwrap();
        let len = write_name(&address, &mut out);
        assert_eq!(read_name(&out[..len]), Some(address));
    }
}
