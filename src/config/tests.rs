use super::*;

const HTTP: &str =
    "[[listener]]\naddress = \"127.0.0.1:80\"\ntransport = \"tcp\"\nprotocol = \"http\"\n";

fn refused(text: &str) -> String {
    Config::from_toml(text, "r.toml").expect_err("this text is to be refused").to_string()
}

#[test]
fn the_built_in_configuration_serves_http_and_echo_with_the_defaults() {
    let config = Config::default_embedded();
    let served: Vec<_> =
        config.listeners.iter().map(|l| (l.address.to_string(), l.protocol.as_str())).collect();
    assert_eq!(served, [("0.0.0.0:8080".into(), "http"), ("0.0.0.0:7007".into(), "echo")]);
    assert_eq!(config.dataplane, DataplaneConfig::default(), "the file documents the defaults");
    assert_eq!(config.mempool, MempoolConfig::default());
}

#[test]
fn every_key_reaches_the_configuration_g_13() {
    let text = "
        [[listener]]
        address = \"[::1]:9000\"
        transport = \"tcp\"
        protocol = \"acme\"
        write_timeout_ms = 1001
        io = \"epoll\"
        max_connections_per_address = 5
        config = { window = 3, name = \"x\" }
        [dataplane]
        max_connections = 7
        idle = \"busy\"
        io = \"io_uring\"
        drain_timeout_ms = 250
        [mempool]
        small_slots = 64
        blocks = 3
        large_slots = 8
        [offload]
        lcores = \"6,7@(8,9)\"
        queue = 5";
    let config = Config::from_toml(text, "r.toml").unwrap();
    let listener = &config.listeners[0];
    assert_eq!(listener.address.ip(), "[::1]:9000".parse().ok());
    assert_eq!(listener.transport, TransportKind::Tcp);
    assert_eq!(listener.protocol, "acme");
    assert_eq!(listener.write_timeout, Duration::from_secs(2), "whole seconds, rounded up");
    assert_eq!(listener.connections_per_address, Some(5));
    assert_eq!(listener.config["window"].as_integer(), Some(3));
    assert_eq!(listener.origin, "r.toml:2");
    assert_eq!(config.dataplane.max_connections, 7);
    assert_eq!(config.dataplane.idle, IdleMode::Busy);
    assert_eq!((config.dataplane.io, listener.io), (IoBackend::IoUring, Some(IoBackend::Epoll)));
    assert_eq!(config.dataplane.drain_timeout, Duration::from_millis(250));
    let (small_slots, large_slots) = (Some(64), Some(8));
    assert_eq!(config.mempool, MempoolConfig { small_slots, large_slots, blocks: 3 });
    let lcores = Some(CoreMap::parse_list("6,7@8-9").unwrap());
    assert_eq!(config.offload, OffloadConfig { lcores, threads: None, queue: 5 });
}

#[test]
fn an_unknown_key_is_refused_with_its_line_its_name_and_what_exists() {
    let error = refused(&HTTP.replace("transport", "transprot"));
    for part in ["r.toml:3:1", "`transprot`", "`transport`", "`protocol`", "`config`"] {
        assert!(error.contains(part), "{error}");
    }
    let error = refused(&format!("{HTTP}[dataplan]\nidle = \"busy\"\n"));
    for part in ["r.toml:5", "`dataplan`", "`dataplane`", "`mempool`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_syntax_error_is_one_line_with_line_and_column() {
    let error = refused(&format!("{HTTP}[dataplane\n"));
    assert!(error.starts_with("cannot use r.toml:5:"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_missing_key_an_unknown_transport_and_an_unknown_idle_mode_name_what_is_wanted() {
    let error = refused("[[listener]]\naddress = \"1.2.3.4:5\"\ntransport = \"tcp\"\n");
    assert!(error.contains("`protocol`"), "{error}");
    let error = refused(&HTTP.replace("tcp", "sctp"));
    assert!(
        error.contains("r.toml:3") && error.contains("`sctp`") && error.contains("`tcp`"),
        "{error}"
    );
    let error = refused(&format!("{HTTP}[dataplane]\nidle = \"lazy\"\n"));
    assert!(error.contains("r.toml:6") && error.contains("`adaptive`"), "{error}");
}

#[test]
fn an_address_that_is_no_ip_address_and_port_is_refused_as_written() {
    for bad in ["localhost:80", "127.0.0.1", "::1:80", "1.2.3.4:70000", ""] {
        let error = refused(&HTTP.replace("127.0.0.1:80", bad));
        assert!(error.contains("r.toml:2") && error.contains(&format!("`{bad}`")), "{error}");
    }
}

#[test]
fn a_second_listener_on_an_address_is_refused_and_the_first_is_named() {
    let error = refused(&format!("{HTTP}{HTTP}"));
    assert!(error.contains("r.toml:6") && error.contains("r.toml:2"), "{error}");
}

#[test]
fn two_listeners_on_port_0_are_two_ports() {
    let any = HTTP.replace(":80", ":0");
    assert!(Config::from_toml(&format!("{any}{any}"), "r.toml").is_ok());
}

#[test]
fn no_listener_at_all_and_one_too_many_are_refused() {
    assert!(refused("").contains("no listener"));
    let many: String = (0..=crate::limits::LISTENERS_MAX)
        .map(|i| HTTP.replace(":80", &format!(":{}", 100 + i)))
        .collect();
    assert!(refused(&many).contains("33 listeners"));
}

#[test]
fn zero_connections_zero_slots_and_an_empty_protocol_are_refused() {
    for (text, part) in [
        (format!("{HTTP}[dataplane]\nmax_connections = 0"), "r.toml:6"),
        (format!("{HTTP}[mempool]\nsmall_slots = 0"), "small_slots"),
        (HTTP.replace("\"http\"", "\"\""), "r.toml:4"),
    ] {
        let error = refused(&text);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_offload_pool_has_bounds_and_threads_of_one_kind_g_9() {
    let offload = |more: &str| Config::from_toml(&format!("{HTTP}[offload]\n{more}\n"), "r.toml");
    assert_eq!(offload("").unwrap().offload, OffloadConfig::default());
    for queue in [1, crate::limits::OFFLOAD_QUEUE_MAX] {
        assert_eq!(offload(&format!("queue = {queue}")).unwrap().offload.queue, queue);
    }
    for threads in [1, crate::limits::OFFLOAD_THREADS_MAX as u32] {
        let config = offload(&format!("threads = {threads}")).unwrap();
        assert_eq!(config.offload.threads, Some(threads));
    }
    for (more, part) in [
        ("queue = 0", "1 to 16384 tasks"),
        ("queue = 16385", "1 to 16384 tasks"),
        ("threads = 0", "1 to 64 threads"),
        ("threads = 65", "1 to 64 threads"),
        ("lcores = \"3-1\"", "3-1 is reversed"),
        ("lcores = \"1\"\nthreads = 1", "both given"),
    ] {
        let error = refused(&format!("{HTTP}[offload]\n{more}\n"));
        assert!(error.contains(part) && error.contains("r.toml:"), "{error}");
    }
}

#[test]
fn blocks_are_none_unless_asked_for_and_have_a_bound() {
    let blocks = |more: &str| Config::from_toml(&format!("{HTTP}{more}\n"), "r.toml");
    assert_eq!(blocks("").unwrap().mempool.blocks, 0);
    for n in [0, 1, crate::limits::BLOCKS_MAX] {
        assert_eq!(blocks(&format!("[mempool]\nblocks = {n}")).unwrap().mempool.blocks, n);
    }
    let error = refused(&format!("{HTTP}[mempool]\nblocks = 8193"));
    assert!(error.contains("r.toml:6") && error.contains("0 to 8192 blocks"), "{error}");
}

#[test]
fn a_listeners_limits_have_defaults_and_bounds() {
    let listener = |more: &str| {
        Config::from_toml(&format!("{HTTP}{more}\n"), "r.toml").map(|mut c| c.listeners.remove(0))
    };
    let plain = listener("").unwrap();
    assert_eq!(plain.write_timeout, Duration::from_secs(30));
    assert_eq!(plain.connections_per_address, None);
    let limited = listener("max_connections_per_address = 1048576").unwrap();
    assert_eq!(limited.connections_per_address, Some(1_048_576));
    let unbound = listener("max_connections_per_address = 0").unwrap();
    assert_eq!(unbound.connections_per_address, None);
    for ms in [1000, 250_000] {
        let timeout = listener(&format!("write_timeout_ms = {ms}")).unwrap().write_timeout;
        assert_eq!(timeout, Duration::from_millis(ms));
    }
    for bad in [
        "write_timeout_ms = 0",
        "write_timeout_ms = 999",
        "write_timeout_ms = 250001",
        "write_timeout_ms = -1",
        "max_connections_per_address = 1048577",
        "max_connections_per_address = -1",
    ] {
        let error = listener(bad).unwrap_err();
        assert!(error.to_string().contains("r.toml:5:"), "{error}");
        assert!(!error.remedy().is_empty(), "{error}");
    }
}

#[test]
fn a_file_prefix_is_one_plain_path_component() {
    for good in ["ringway", "a", "_x", "edge-1.2"] {
        assert_eq!(good.parse::<FilePrefix>().unwrap().as_str(), good);
    }
    let long = "x".repeat(33);
    for bad in ["", ".", "..", "a/b", "-x", "a b", "ä", "a\0", long.as_str()] {
        assert!(bad.parse::<FilePrefix>().is_err(), "{bad:?}");
    }
}

#[test]
fn idle_modes_read_back_from_their_names() {
    for name in IdleMode::NAMES {
        assert_eq!(name.parse::<IdleMode>().unwrap().name(), name);
    }
    assert!("lazy".parse::<IdleMode>().unwrap_err().to_string().contains("adaptive"));
}

#[test]
fn what_carries_the_sockets_is_auto_unless_it_is_named_and_no_question_of_a_process_w_1() {
    let config = Config::from_toml(HTTP, "r.toml").unwrap();
    assert_eq!((config.dataplane.io, config.listeners[0].io), (IoBackend::Auto, None));
    for name in IoBackend::NAMES {
        assert_eq!(name.parse::<IoBackend>().unwrap().name(), name);
        let config = Config::from_toml(&format!("{HTTP}io = \"{name}\"\n"), "r.toml").unwrap();
        assert_eq!(config.listeners[0].io.unwrap().name(), name);
    }
    assert!("kqueue".parse::<IoBackend>().unwrap_err().to_string().contains("io_uring, epoll"));
    let error = refused(&format!("{HTTP}[dataplane]\nio = \"kqueue\"\n"));
    assert!(error.contains("io_uring"), "{error}");
    let shm = "[[listener]]\naddress = \"port:a\"\ntransport = \"shm\"\nprotocol = \"echo\"\n";
    let error = refused(&format!("{shm}io = \"epoll\"\n"));
    assert!(error.contains("r.toml:5") && error.contains("leave io out"), "{error}");
}

const UNIX: &str =
    "[[listener]]\naddress = \"/run/r.sock\"\ntransport = \"unix\"\nprotocol = \"ipc\"\n";

#[test]
fn a_unix_listener_has_a_path_a_mode_and_lists_of_users_i_10() {
    let text = format!("{UNIX}mode = \"0600\"\nallow_uids = [0, 1000]\nallow_gids = [100]\n");
    let listener = Config::from_toml(&text, "r.toml").unwrap().listeners.remove(0);
    assert_eq!(listener.transport, TransportKind::Unix);
    assert_eq!(listener.address, Address::Unix("/run/r.sock".into()));
    assert_eq!((listener.address.ip(), listener.address.is_abstract()), (None, false));
    let access = Access { mode: 0o600, uids: vec![0, 1000], gids: vec![100] };
    assert_eq!(listener.access, access);
    let listener = Config::from_toml(UNIX, "r.toml").unwrap().listeners.remove(0);
    assert_eq!(listener, ListenerConfig::unix("/run/r.sock", "ipc", "r.toml:1"));
    assert_eq!(listener.access.mode, 0o666);
    let abstracted = UNIX.replace("/run/r.sock", "@r");
    assert!(Config::from_toml(&abstracted, "r.toml").unwrap().listeners[0].address.is_abstract());
}

#[test]
fn a_path_of_107_bytes_is_taken_and_one_of_108_is_refused_with_its_line() {
    let path = |bytes: usize| UNIX.replace("/run/r.sock", &format!("/{}", "a".repeat(bytes - 1)));
    assert!(Config::from_toml(&path(107), "r.toml").is_ok());
    let error = refused(&path(108));
    assert!(error.contains("r.toml:2") && error.contains("108 bytes"), "{error}");
}

#[test]
fn what_is_no_path_of_a_unix_socket_is_refused() {
    for bad in ["127.0.0.1:80", "r.sock", "", "@", "/", "/a\\u0000b"] {
        let error = refused(&UNIX.replace("/run/r.sock", bad));
        assert!(error.contains("r.toml:2") && error.contains("no path"), "{bad}: {error}");
    }
    let error = refused(&HTTP.replace("127.0.0.1:80", "/run/r.sock"));
    assert!(error.contains("transport = \"unix\""), "{error}");
}

#[test]
fn what_one_transport_does_not_have_is_refused_with_its_line() {
    for (start, key, part) in [
        (UNIX, "max_connections_per_address = 0", "no addresses"),
        (HTTP, "mode = \"0600\"", "`mode`"),
        (HTTP, "allow_uids = [0]", "`allow_uids`"),
        (HTTP, "allow_gids = [0]", "`allow_gids`"),
        (&UNIX.replace("/run", "@run"), "mode = \"0600\"", "no file"),
        (UNIX, "mode = \"0888\"", "no mode"),
        (UNIX, "mode = \"1777\"", "no mode"),
        (UNIX, "allow_uids = []", "nobody"),
        (UNIX, "allow_gids = []", "nobody"),
        (SHM, "max_connections_per_address = 1", "no addresses"),
        (SHM, "mode = \"0600\"", "`mode`"),
        (SHM, "allow_uids = [0]", "`allow_uids`"),
        (SHM, "unattended = \"park\"", "handler's port"),
        (HTTP, "isolated = true", "the listener has none"),
    ] {
        let error = refused(&format!("{start}{key}\n"));
        assert!(error.contains("r.toml:5") && error.contains(part), "{key}: {error}");
    }
    let both = format!("{}allow_uids = [0]\n", UNIX.replace("/run", "@run"));
    assert!(Config::from_toml(&both, "r.toml").is_ok(), "abstract sockets know their peers");
}

const SHM: &str =
    "[[listener]]\naddress = \"port:feed\"\ntransport = \"shm\"\nprotocol = \"raw\"\n";

#[test]
fn a_listener_whose_peer_attaches_has_the_name_of_a_port() {
    let listener = |more: &str| {
        let mut config = Config::from_toml(&format!("{SHM}{more}"), "r.toml").unwrap();
        config.listeners.remove(0)
    };
    let plain = listener("");
    assert_eq!(plain, ListenerConfig::shm("feed", "raw", "r.toml:1"));
    assert_eq!((plain.peer(), plain.address.to_string()), (Some("feed"), "port:feed".to_owned()));
    assert!(listener("isolated = true\n").isolated, "of its own port");
    let both = listener("isolated = true\nhandler = \"port:app\"\nunattended = \"park\"\n");
    assert!(both.isolated && both.port.is_some_and(|port| port.park && port.name == "app"));
}

#[test]
fn addresses_that_are_not_of_their_transport_are_refused_with_the_one_that_they_are_of() {
    for (text, part) in [
        (HTTP.replace("127.0.0.1:80", "port:feed"), "transport = \"shm\""),
        (UNIX.replace("/run/r.sock", "port:feed"), "transport = \"shm\""),
        (SHM.replace("port:feed", "127.0.0.1:80"), "\"port:NAME\""),
        (SHM.replace("port:feed", "/run/r.sock"), "\"unix\""),
        (format!("{SHM}{SHM}"), "port:feed is already the address of the listener at r.toml:2"),
    ] {
        let error = refused(&text);
        assert!(error.contains("r.toml:") && error.contains(part), "{error}");
    }
}

#[test]
fn two_listeners_on_one_path_are_refused() {
    let error = refused(&format!("{UNIX}{UNIX}"));
    assert!(error.contains("r.toml:6") && error.contains("r.toml:2"), "{error}");
}

#[test]
fn the_control_socket_is_said_nothing_of_unless_there_is_a_table() {
    assert_eq!(Config::from_toml(HTTP, "r.toml").unwrap().control, None);
    let with = |table: &str| {
        let text = format!("{HTTP}[control]\n{table}");
        Config::from_toml(&text, "r.toml").unwrap().control.unwrap()
    };
    assert_eq!(with(""), ControlConfig::default());
    assert!(!with("enabled = false").enabled);
    let all = with("socket = \"/run/a.sock\"\nmode = \"0660\"\nallow_uids = [1, 2]\n");
    assert_eq!(all.socket.as_deref(), Some(Path::new("/run/a.sock")));
    assert_eq!((all.mode, all.uids, all.enabled), (0o660, vec![1, 2], true));
}

#[test]
fn what_may_be_captured_is_what_is_not_encrypted_unless_the_file_says_otherwise() {
    let with = |table: &str| {
        let text = format!("{HTTP}[control]\n{table}");
        Config::from_toml(&text, "r.toml").unwrap().control.unwrap().capture
    };
    let may = |table: &str, uid| {
        let access = with(table);
        (access.admits(), access.admits_decrypted(uid), access.name())
    };
    // Nobody is let in for being root.
    assert_eq!(may("", 0), (true, false, "encrypted"));
    assert_eq!(may("capture = \"encrypted\"", 7), (true, false, "encrypted"));
    assert_eq!(may("capture_decrypted_uids = [7]", 7), (true, true, "encrypted"));
    assert_eq!(may("capture_decrypted_uids = [7]", 0), (true, false, "encrypted"));
    assert_eq!(may("capture = \"all\"", 7), (true, true, "all"));
    assert_eq!(may("capture = \"none\"", 0), (false, false, "none"));
}

#[test]
fn a_control_socket_that_could_not_be_what_was_meant_is_refused_with_its_line() {
    for (table, why) in [
        ("socket = \"@name\"", "no permissions"),
        ("socket = \"relative\"", "no path"),
        ("mode = \"0666\"", "this user alone"),
        ("allow_uids = [1]", "this user alone"),
        ("socket = \"/a\"\nmode = \"9\"", "no mode"),
        ("socket = \"/a\"\nallow_uids = []", "nobody"),
        ("sockt = \"/a\"", "`socket`"),
        ("capture = \"some\"", "`some` is not what may be captured"),
        ("capture = \"none\"\ncapture_decrypted_uids = [1]", "lets nobody capture"),
        ("capture_decrypted_uids = []", "nobody"),
    ] {
        let error = refused(&format!("{HTTP}[control]\n{table}\n"));
        assert!(error.contains(why) && error.contains("r.toml:"), "{table}: {error}");
    }
}
