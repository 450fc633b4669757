//! A copy's ports on 127.0.0.1 while it stays shut in: `restore --as NAME --ports` and `ports NAME`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use lifeboat_testkit::{
    engine::PrivateEngine,
    sample_app::{SampleApp, diff},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    beside::Client,
    supervise::Agent,
    support::Lab,
    tiny::{self, IDLE},
};

/// A command that stays, and the document that it said first.
struct Staying {
    child: Child,
    said: Value,
}

impl Staying {
    fn start(lab: &Lab, engine: &PrivateEngine, args: &[&str]) -> Self {
        let mut command = lab.command(Some(engine), args);
        let mut child = command
            .args(["-o", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("{e}: {line:?} {:?}", child.wait()));
        Self { child, said }
    }

    fn address(&self, port: &str) -> String {
        let all = self.said["addresses"].as_array().unwrap();
        let found = all.iter().find(|a| a["port"] == port);
        let address = found.unwrap_or_else(|| panic!("{port} in {}", self.said));
        address["address"].as_str().unwrap().to_owned()
    }

    /// How it ends, within half a minute.
    fn ended(&mut self) -> Option<i32> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it stays")
    }

    fn interrupt(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.ended()
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a web server answers, whose end it waits for after its own has been said.
fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Counts packets in the engine's network that no copy may send: any on a way out that is made for it,
/// any that come from elsewhere onto the networks that are there, any from elsewhere to the host.
struct Watch<'e> {
    engine: &'e PrivateEngine,
}

impl<'e> Watch<'e> {
    fn begin(engine: &'e PrivateEngine) -> Self {
        let this = Self { engine };
        for line in [
            "ip link add uplink0 type veth peer name uplink1",
            "sysctl -qw net.ipv6.conf.uplink0.disable_ipv6=1 net.ipv6.conf.uplink1.disable_ipv6=1",
            "ip addr add 198.51.100.2/24 dev uplink0",
            "ip link set uplink0 up",
            "ip link set uplink1 up",
            // Nobody is there, and everything is sent there.
            "ip neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev uplink0",
            "ip route add default via 198.51.100.1",
            "iptables -t mangle -A POSTROUTING -o uplink0 -j RETURN",
        ] {
            this.run(line);
        }
        let networks = engine.api().get("/networks").unwrap();
        let mut known = vec!["127.0.0.0/8".to_owned()];
        for network in networks.as_array().unwrap() {
            let Some(subnet) = network["IPAM"]["Config"][0]["Subnet"].as_str() else {
                continue;
            };
            let named = network["Options"]["com.docker.network.bridge.name"].as_str();
            let own = format!("br-{}", &network["Id"].as_str().unwrap()[..12]);
            let bridge = named.unwrap_or(&own);
            this.run(&format!(
                "iptables -t mangle -A POSTROUTING -o {bridge} ! -s {subnet} -j RETURN"
            ));
            known.push(subnet.to_owned());
        }
        for subnet in known {
            this.run(&format!(
                "iptables -t mangle -A INPUT -s {subnet} -j ACCEPT"
            ));
        }
        this.run("iptables -t mangle -A INPUT -j RETURN");
        this
    }

    fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let mut command = self.engine.netns_command(words.next().unwrap());
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{line}: {}", tiny::stderr(&output));
        tiny::stdout(&output)
    }

    /// Packets that were counted, and the rules that did.
    fn counted(&self) -> (u64, String) {
        let mut all = 0;
        let mut text = String::new();
        for chain in ["POSTROUTING", "INPUT"] {
            let rules = self.run(&format!("iptables -t mangle -L {chain} -v -x -n"));
            let returned = rules.lines().filter(|line| line.contains(" RETURN "));
            for rule in returned {
                let packets = rule.split_whitespace().next().unwrap();
                all += packets.parse::<u64>().unwrap();
            }
            text.push_str(&rules);
        }
        (all, text)
    }
}

#[test]
fn a_copy_answers_on_its_own_ports_and_no_packet_of_it_leaves() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    lab.json(Some(&engine), &["backup", "shop"], 0);
    let before = app.fingerprint(&engine).unwrap();
    let watch = Watch::begin(&engine);

    let (mut copy, answers, errors) = Client::ask_while(&engine, || {
        let copy = Staying::start(
            &lab,
            &engine,
            &["restore", "shop", "--as", "shop-try", "--ports"],
        );
        let address = copy.address("8080/tcp");
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let answer = get(&address).unwrap();
                        assert!(answer.contains("200 OK") && answer.contains("shop"));
                    }
                });
            }
        });
        // It tries to get out, by address and by name.
        for line in [
            "nc -w 1 198.51.100.1 80",
            "nc -w 1 198.51.100.2 18080",
            "nc -w 1 172.28.5.10 5432",
            "timeout 2 nslookup example.org",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let tried = engine.api().exec("shop-try-web-1", &words).unwrap();
            assert_ne!(tried.code, 0, "{line}: {tried:?}");
        }
        copy
    });
    assert!(answers > 20, "{answers}");
    assert_eq!(errors, 0, "of {answers} answers of the original");
    let (packets, rules) = watch.counted();
    assert_eq!(packets, 0, "{rules}");
    let differences = diff(&before, &app.fingerprint(&engine).unwrap());
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    // What listens there is ours, and ends with us; the copy stays.
    let address = copy.address("8080/tcp");
    let mut held = TcpStream::connect(&address).unwrap();
    assert_eq!(copy.interrupt(), Some(0));
    let mut rest = Vec::new();
    let _ = held.read_to_end(&mut rest);
    assert!(TcpStream::connect(&address).is_err());
    assert!(tiny::runs(&engine, "shop-try-web-1"));

    // Opened again, found again after a restart, ended when the copy is taken away.
    let mut again = Staying::start(&lab, &engine, &["ports", "shop-try"]);
    let address = again.address("8080/tcp");
    assert!(get(&address).unwrap().contains("200 OK"));
    let restart = "/containers/shop-try-web-1/restart?t=0";
    engine.api().post(restart, &Value::Null).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while !get(&address).is_ok_and(|answer| answer.contains("200 OK")) {
        assert!(Instant::now() < end, "not found again");
    }
    lab.json(Some(&engine), &["rm", "shop-try", "--yes"], 0);
    assert_eq!(again.ended(), Some(0));

    // The counters count: a copy that is let out is seen.
    let args = ["restore", "shop", "--as", "shop-out", "--network-access"];
    lab.json(Some(&engine), &args, 0);
    let ask = ["nc", "-w", "1", "198.51.100.1", "80"];
    let asked = engine.api().exec("shop-out-web-1", &ask).unwrap();
    let (packets, rules) = watch.counted();
    assert_ne!(packets, 0, "{asked:?}\n{rules}{}", watch.run("ip route"));
    engine.destroy().unwrap();
}

#[test]
fn ports_of_every_kind_and_copies_without_any() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    // One listens on its loopback alone, one says all that it was told, one is of UDP, where nobody is
    // as yet, one has nobody.
    tiny::create(
        &engine,
        "many",
        json!({
            "Cmd": ["sh", "-c", "httpd -p 127.0.0.1:8080; nc -ll -p 7 -e cat & exec sleep 1000"],
            "ExposedPorts": {"8080/tcp": {}, "7/tcp": {}, "53/udp": {}, "9/tcp": {}},
            "HostConfig": {"PublishAllPorts": true},
        }),
    );
    tiny::start(&engine, "many");
    tiny::run(&engine, "none", IDLE, &[]);
    lab.json(some, &["backup", "--all"], 0);
    let copy = lab.json(some, &["restore", "many", "--as", "many-try"], 0);
    assert_eq!(copy["addresses"], json!([]));
    assert_eq!(copy["ports"].as_array().unwrap().len(), 4, "{copy:#}");

    let mut ports = Staying::start(&lab, &engine, &["ports", "many-try"]);
    assert_eq!(ports.said["addresses"].as_array().unwrap().len(), 4);
    let answer = get(&ports.address("8080/tcp")).unwrap();
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    let mut echo = TcpStream::connect(ports.address("7/tcp")).unwrap();
    let data = tiny::noise(1 << 20, 5);
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&echo).write_all(&data).unwrap();
            echo.shutdown(Shutdown::Write).unwrap();
        });
        (&echo).read_to_end(&mut back).unwrap();
    });
    assert!(back == data, "{} of {}", back.len(), data.len());
    // Nobody listens: closed at once, as far as a client sees.
    echo = TcpStream::connect(ports.address("9/tcp")).unwrap();
    let mut nothing = Vec::new();
    let _ = echo.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    assert_eq!(ports.interrupt(), Some(0));

    lab.json(some, &["restore", "none", "--as", "none-try"], 0);
    tiny::refused(&lab, some, "ports none-try", 1, &["publishes none"]);
    tiny::refused(&lab, some, "ports many", 1, &["no copy", "many-try"]);
    tiny::refused(&lab, some, "ports ../x", 1, &["no copy"]);
    lab.json(
        some,
        &["restore", "many", "--as", "many-net", "--network-access"],
        0,
    );
    let published = lab.json(some, &["ports", "many-net"], 0);
    assert!(published["addresses"].as_array().unwrap().len() >= 4);
    engine.destroy().unwrap();
}

/// While an agent runs, a copy's ports are open without anybody staying, and are the same after it was started again.
#[test]
fn the_agent_keeps_the_ports_of_copies_open() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::create(
        &engine,
        "web",
        json!({
            "Cmd": ["sh", "-c", "httpd -p 8080; exec sleep 1000"],
            "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {"PublishAllPorts": true},
        }),
    );
    tiny::start(&engine, "web");
    lab.json(some, &["backup", "web"], 0);
    let agent = Agent::start(&lab, &engine);
    let copy = lab.json(some, &["restore", "web", "--as", "web-try"], 0);
    let address = copy["addresses"][0]["address"].as_str().unwrap().to_owned();
    assert!(get(&address).unwrap().starts_with("HTTP/1."));
    // It says where they are, and does not stay.
    let said = lab.json(some, &["ports", "web-try"], 0);
    assert_eq!(said["addresses"], copy["addresses"]);
    agent.stop();
    assert!(
        TcpStream::connect(&address).is_err(),
        "closed with the agent"
    );
    let agent = Agent::start(&lab, &engine);
    agent.until("the same port answers", || get(&address).is_ok());
    lab.json(some, &["rm", "web-try", "--yes"], 0);
    agent.until("closed with the copy", || {
        TcpStream::connect(&address).is_err()
    });
    agent.stop();
}

/// Says back each datagram with a word before it, at a port within a container's network; nothing of
/// busybox does. `127.0.0.1` is its loopback, `0.0.0.0` everything.
fn echo_in(engine: &PrivateEngine, container: &str, at: &str, word: &'static str) {
    let pid = tiny::inspect(engine, container)["State"]["Pid"].clone();
    let namespace = fs_err::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let at = at.to_owned();
    let (bound, is_bound) = std::sync::mpsc::channel();
    // Ends with the test's process; the namespace with the last of its sockets.
    std::thread::spawn(move || {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        let fd = std::os::fd::AsFd::as_fd(&namespace);
        rustix::thread::move_into_link_name_space(fd, kind).unwrap();
        let socket = UdpSocket::bind(at).unwrap();
        bound.send(()).unwrap();
        let mut datagram = vec![0; 65_536];
        loop {
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            let answer = [word.as_bytes(), &datagram[..length]].concat();
            let _ = socket.send_to(&answer, from);
        }
    });
    is_bound.recv().unwrap();
}

/// Asks until there is an answer: datagrams get lost, and a container that starts again is found by
/// the next one.
fn ask(client: &UdpSocket, address: &str, words: &str) -> String {
    let wait = Some(Duration::from_millis(500));
    client.set_read_timeout(wait).unwrap();
    let mut answer = [0; 2048];
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        client.send_to(words.as_bytes(), address).unwrap();
        if let Ok((length, from)) = client.recv_from(&mut answer) {
            assert_eq!(from.to_string(), address);
            return String::from_utf8(answer[..length].to_vec()).unwrap();
        }
    }
    panic!("no answer from {address}")
}

#[test]
fn ports_of_udp_answer_each_client_and_after_a_restart() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::create(
        &engine,
        "names",
        json!({
            "Cmd": ["sh", "-c", IDLE],
            "ExposedPorts": {"53/udp": {}, "54/udp": {}, "53/tcp": {}, "55/sctp": {}},
            "HostConfig": {"PortBindings": {
                "53/udp": [{"HostPort": "18053"}], "54/udp": [{"HostPort": "18054"}], "53/tcp": [{"HostPort": "18053"}],
            }},
        }),
    );
    tiny::start(&engine, "names");
    lab.json(some, &["backup", "names"], 0);
    // The same number of both protocols.
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = held.local_addr().unwrap().port();
    let map = format!("18053/udp:{local}");
    let line = format!("restore names --as names-try --map-port {map}");
    let taken = format!("127.0.0.1:{local} cannot be had");
    tiny::refused(&lab, some, &line, 1, &[&taken, "--map-port 18053:NEW"]);
    drop(held);
    lab.json(some, &line.split(' ').collect::<Vec<_>>(), 0);
    let mut ports = Staying::start(&lab, &engine, &["ports", "names-try"]);
    let (wide, narrow) = (ports.address("53/udp"), ports.address("54/udp"));
    assert_eq!(wide, format!("127.0.0.1:{local}"));
    assert_eq!(ports.said["addresses"].as_array().unwrap().len(), 3);

    echo_in(&engine, "names-try", "0.0.0.0:53", "wide ");
    echo_in(&engine, "names-try", "127.0.0.1:54", "narrow ");
    let clients: Vec<UdpSocket> = (0..8)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    std::thread::scope(|scope| {
        for (at, client) in clients.iter().enumerate() {
            let (wide, narrow) = (&wide, &narrow);
            scope.spawn(move || {
                for turn in 0..50 {
                    let words = format!("{at}.{turn}");
                    assert_eq!(ask(client, wide, &words), format!("wide {words}"));
                }
                assert_eq!(ask(client, narrow, "x"), "narrow x");
            });
        }
    });
    // Nobody else's: the original's own port is where it was, and nobody answers there.
    let restart = "/containers/names-try/restart?t=0";
    engine.api().post(restart, &Value::Null).unwrap();
    echo_in(&engine, "names-try", "0.0.0.0:53", "again ");
    let fresh = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(ask(&fresh, &wide, "?"), "again ?");

    assert_eq!(ports.interrupt(), Some(0));
    UdpSocket::bind(&wide).unwrap();
    engine.destroy().unwrap();
}
