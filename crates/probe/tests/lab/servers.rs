//! Servers as they really are: PostgreSQL, MariaDB, Redis, RabbitMQ, nginx, grpc-go.

use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::Outcome;
use lifeboat_testkit::{images, packages, server};
use serde_json::{Value, json};

use crate::{ask, failure, shared, simply, start, until_good};

/// A container in which this machine's programs run: its `/usr` and `/etc`, read-only, everything else its own.
fn of_this_machine(script: &str, env: &[&str]) -> Value {
    packages::ensure(server::PROBED).unwrap();
    let own = ["/data", "/tmp", "/run", "/var/lib", "/var/log", "/root"];
    let own: serde_json::Map<String, Value> = own
        .map(|at| (at.to_owned(), "".into()))
        .into_iter()
        .collect();
    json!({
        "Image": crate::BUSYBOX, "Cmd": ["sh", "-c", script], "Env": env,
        "HostConfig": {
            "Binds": ["/usr:/usr:ro", "/usr/bin:/bin:ro", "/usr/sbin:/sbin:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro", "/etc:/etc:ro"],
            "Tmpfs": own,
        },
    })
}

fn done(container: &Container) {
    shared()
        .1
        .remove_container(&container.id, true, true)
        .unwrap();
}

#[test]
fn postgres_and_redis() {
    let (private, engine) = shared();
    images::services().unwrap().load(private).unwrap();
    let image = "lifeboat/services:latest";
    let db = start(
        &*engine,
        "postgres",
        json!({
            "Image": image, "User": "postgres", "Entrypoint": ["/usr/local/bin/shop-postgres"], "Cmd": [],
            "Env": ["POSTGRES_PASSWORD=correct horse", "WRONG=no"],
        }),
    );
    let sql = ("liveness", "sql:postgres://postgres@:5432/");
    let secret = ("liveness.password", "env:POSTGRES_PASSWORD");
    until_good(&engine, &db, &[sql, secret]);
    let asked = |given: &[(&str, &str)]| ask(&engine, &db, &[&[sql, secret], given].concat());
    let good = |given: &[(&str, &str)]| assert_eq!(asked(given), Outcome::Success, "{given:?}");
    let bad = |given: &[(&str, &str)]| failure(asked(given));
    good(&[
        ("liveness.query", "SELECT pg_is_in_recovery()"),
        ("liveness.expect", "f"),
    ]);
    good(&[("liveness.query", "SELECT repeat('x', 50000)")]);
    assert_eq!(
        bad(&[("liveness.query", "SELECT 41"), ("liveness.expect", "42")]),
        "the query should bring 42, it brings 41"
    );
    assert_eq!(
        bad(&[("liveness.query", "SELECT NULL"), ("liveness.expect", "42")]),
        "the query should bring 42, it brings NULL"
    );
    assert_eq!(
        bad(&[("liveness.query", "SELECT 1 WHERE false")]),
        "the query brings no row"
    );
    let wrong = bad(&[("liveness.query", "SELECT * FROM nothing")]);
    assert!(wrong.contains("42P01"), "{wrong}");
    let far = bad(&[("liveness.query", "SELECT repeat('x', 100000)")]);
    assert!(far.contains("far more than it should"), "{far}");
    assert_eq!(
        bad(&[
            ("liveness.query", "SELECT pg_sleep(20)"),
            ("liveness.timeout", "500ms")
        ]),
        "no answer within 500ms"
    );
    let denied = bad(&[("liveness.password", "env:WRONG")]);
    assert!(
        denied.contains("28P01") && !denied.contains("no\""),
        "{denied}"
    );
    let none = ask(&engine, &db, &[sql]);
    assert!(
        matches!(&none, Outcome::Unknown(why) if why.contains(".password")),
        "{none:?}"
    );
    let other = failure(ask(
        &engine,
        &db,
        &[("liveness", "sql:postgres://postgres@:5432/none"), secret],
    ));
    assert!(other.contains("3D000"), "{other}");

    // Old hashes, and passwords in the clear.
    let api = private.api();
    let run = |sql: &str| {
        api.exec_ok(&db.id, &["psql", "-h", "/tmp", "-U", "postgres", "-c", sql])
            .unwrap()
    };
    run("SET password_encryption='md5'; CREATE ROLE old LOGIN PASSWORD 'correct horse'");
    let hba = "sed -i 's/^host all all all.*/host all old all md5/' $PGDATA/pg_hba.conf; echo 'host all postgres all password' >>$PGDATA/pg_hba.conf; sed -i '1i host all postgres 0.0.0.0\\/0 password' $PGDATA/pg_hba.conf; sed -i '1i host all old 0.0.0.0\\/0 md5' $PGDATA/pg_hba.conf";
    api.exec_ok(&db.id, &["sh", "-c", hba]).unwrap();
    run("SELECT pg_reload_conf()");
    let old = [("liveness", "sql:postgres://old@:5432/postgres"), secret];
    until_good(&engine, &db, &old);
    good(&[]);
    let log = api.logs(&db.id).unwrap();
    assert!(!log.contains("unexpected EOF"), "{log}");

    // It recovers from a crash: that is said, and is no failure. Slowed down so that it is seen: it waits for a lock
    // that nobody gives back, which a standby does for ever.
    api.exec_ok(&db.id, &["sh", "-c", "touch $PGDATA/standby.signal && kill -9 1 2>/dev/null; kill -9 $(head -1 $PGDATA/postmaster.pid)"]).ok();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while engine.inspect_container(&db.id).unwrap()["State"]["Running"] == true {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    engine.start(&db.id).unwrap();
    let db = crate::facts(&*engine, &db.id);
    let before = until_good_or_recovering(&engine, &db, &[sql, secret]);
    let recovering = |o: &Outcome| matches!(o, Outcome::Recovering(why) if why.contains("starting up") || why.contains("recovery") || why.contains("not yet"));
    assert!(before.iter().any(recovering), "{before:?}");
    done(&db);

    let cache = start(
        &*engine,
        "redis",
        json!({
            "Image": image, "User": "redis", "Env": ["PASS=two words"],
            "Cmd": ["redis-server", "--save", "", "--requirepass", "two words"],
        }),
    );
    let redis = ("liveness", "redis://:6379");
    until_good(&engine, &cache, &[redis, ("liveness.password", "env:PASS")]);
    let named = [
        ("liveness", "redis://default@:6379"),
        ("liveness.password", "env:PASS"),
    ];
    assert_eq!(ask(&engine, &cache, &named), Outcome::Success);
    assert!(failure(ask(&engine, &cache, &[redis])).starts_with("it says NOAUTH"));
    let wrong = failure(ask(
        &engine,
        &cache,
        &[redis, ("liveness.password", "env:PATH")],
    ));
    assert!(wrong.starts_with("it says WRONGPASS"), "{wrong}");
    let other = failure(simply(&engine, &cache, "http://:6379/"));
    assert!(other.contains("HTTP") || other.contains("clos"), "{other}");
    done(&cache);
}

/// As [`until_good`], in small steps; a standby that does not get further is good enough.
fn until_good_or_recovering(
    engine: &std::sync::Arc<dyn lifeboat_engine::Engine>,
    container: &Container,
    given: &[(&str, &str)],
) -> Vec<Outcome> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut before = Vec::new();
    while std::time::Instant::now() < end {
        match ask(engine, container, given) {
            Outcome::Success => break,
            other => {
                let recovering = matches!(other, Outcome::Recovering(_));
                before.push(other);
                if recovering {
                    break;
                }
            }
        }
    }
    before
}

#[test]
fn mariadb() {
    let (_, engine) = shared();
    let script = "mariadb-install-db --no-defaults --user=root --datadir=/data --auth-root-authentication-method=normal >/tmp/log 2>&1
        cat >/tmp/init.sql <<'END'
DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
CREATE DATABASE IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.t (n INT, s VARCHAR(20));
INSERT INTO shop.t VALUES (7, 'seven');
CREATE USER probe@'%' IDENTIFIED BY 'correct horse';
GRANT SELECT ON shop.* TO probe@'%';
CREATE USER open@'%';
END
        exec mariadbd --no-defaults --user=root --datadir=/data --socket=/tmp/s --port=3306 --init-file=/tmp/init.sql --innodb-buffer-pool-size=16M";
    let db = start(
        &*engine,
        "mariadb",
        of_this_machine(script, &["PASS=correct horse", "WRONG=x"]),
    );
    let sql = ("liveness", "sql:mysql://probe@:3306/shop");
    let secret = ("liveness.password", "env:PASS");
    until_good(&engine, &db, &[sql, secret]);
    let asked = |given: &[(&str, &str)]| ask(&engine, &db, &[&[sql, secret], given].concat());
    let seven = [
        ("liveness.query", "SELECT n, s FROM t"),
        ("liveness.expect", "7"),
    ];
    assert_eq!(asked(&seven), Outcome::Success);
    let eight = [
        ("liveness.query", "SELECT s FROM t"),
        ("liveness.expect", "8"),
    ];
    assert_eq!(
        failure(asked(&eight)),
        "the query should bring 8, it brings seven"
    );
    let long = [("liveness.query", "SELECT REPEAT('x', 3000)")];
    assert_eq!(asked(&long), Outcome::Success);
    let none = [("liveness.query", "SELECT n FROM t WHERE n = 8")];
    assert_eq!(failure(asked(&none)), "the query brings no row");
    assert!(failure(asked(&[("liveness.query", "SELECT x FROM t")])).contains("1054"));
    assert!(failure(asked(&[("liveness.password", "env:WRONG")])).contains("1045"));
    assert!(failure(ask(&engine, &db, &[sql])).contains("1045"));
    assert_eq!(
        simply(&engine, &db, "sql:mysql://open@:3306"),
        Outcome::Success
    );
    assert!(failure(simply(&engine, &db, "sql:postgres://open@:3306")).len() > 5);
    done(&db);
}

#[test]
fn rabbitmq() {
    let (_, engine) = shared();
    let script = "printf 'default_user = probe\\ndefault_pass = correct horse\\ndefault_vhost = shop/eu\\n' >/tmp/rabbit.conf
        mkdir -p /tmp/home; echo COOKIECOOKIECOOKIE >/tmp/home/.erlang.cookie; chmod 400 /tmp/home/.erlang.cookie; : >/tmp/plugins
        exec /usr/lib/rabbitmq/bin/rabbitmq-server";
    let env = [
        "PATH=/usr/sbin:/usr/bin",
        "HOME=/tmp/home",
        "PASS=correct horse",
        "WRONG=x",
        "RABBITMQ_CONFIG_FILE=/tmp/rabbit.conf",
        "RABBITMQ_MNESIA_BASE=/tmp/mnesia",
        "RABBITMQ_LOG_BASE=/tmp/log",
        "RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/plugins",
        "RABBITMQ_NODENAME=r@localhost",
        "RABBITMQ_LOGS=-",
    ];
    let broker = start(&*engine, "rabbitmq", of_this_machine(script, &env));
    let amqp = ("liveness", "amqp://probe@:5672/shop%2Feu");
    let secret = ("liveness.password", "env:PASS");
    until_good(&engine, &broker, &[amqp, secret]);
    let other = failure(ask(
        &engine,
        &broker,
        &[("liveness", "amqp://probe@:5672/none"), secret],
    ));
    assert!(
        other.starts_with("it says 530") && other.contains("none"),
        "{other}"
    );
    let wrong = failure(ask(
        &engine,
        &broker,
        &[amqp, ("liveness.password", "env:WRONG")],
    ));
    assert!(wrong.starts_with("it says 403 ACCESS_REFUSED"), "{wrong}");
    let guest = failure(simply(&engine, &broker, "amqp://:5672/"));
    assert!(guest.starts_with("it says 403"), "{guest}");
    let log = shared()
        .0
        .api()
        .get_bytes(&format!("/containers/{}/logs?stdout=1&stderr=1", broker.id))
        .unwrap();
    let log = String::from_utf8_lossy(&log);
    // A connection of ours that ended well leaves no warning behind.
    let warned = log
        .lines()
        .filter(|l| l.contains("[warning]") && l.contains("closed"))
        .count();
    let broke = log
        .lines()
        .filter(|l| l.contains("client unexpectedly closed"))
        .count();
    assert_eq!((warned, broke), (0, 0), "{log}");
    done(&broker);
}

#[test]
fn grpc() {
    let (_, engine) = shared();
    let program = server::grpc_health().unwrap();
    let bind = format!("{}:/server:ro", program.display());
    let body = json!({"Cmd": ["/server", ":50051"], "HostConfig": {"Binds": [bind]}});
    let container = start(&*engine, "grpc", body);
    until_good(
        &engine,
        &container,
        &[("liveness", "grpc://:50051/shop.Orders")],
    );
    assert_eq!(
        simply(&engine, &container, "grpc://:50051"),
        Outcome::Success
    );
    let says = |check: &str| failure(simply(&engine, &container, check));
    assert_eq!(says("grpc://:50051/shop.Mail"), "it says NOT_SERVING");
    assert_eq!(
        says("grpc://:50051/shop.Nothing"),
        "it knows no service \"shop.Nothing\""
    );
    assert!(says("grpcs://:50051/shop.Orders").starts_with("no TLS"));
    // Another server altogether.
    let web = json!({"Cmd": ["httpd", "-f", "-p", "8080"]});
    let web = start(&*engine, "grpc-not", web);
    until_good(&engine, &web, &[("liveness", "tcp://:8080")]);
    let other = failure(simply(&engine, &web, "grpc://:8080"));
    assert!(
        other.contains("HTTP/2") || other.contains("clos"),
        "{other}"
    );
    done(&web);
    done(&container);
}

#[test]
fn nginx() {
    let (_, engine) = shared();
    let key = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let env = [
        format!("CERT={}", key.cert.pem()),
        format!("KEY={}", key.signing_key.serialize_pem()),
    ];
    let script = r#"echo "$CERT" >/tmp/cert; echo "$KEY" >/tmp/key; cat >/tmp/nginx.conf <<'END'
pid /tmp/pid; error_log stderr; daemon off; user root;
events {}
http {
  access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  server { listen 8080 default_server; listen 8443 ssl default_server; ssl_certificate /tmp/cert; ssl_certificate_key /tmp/key;
    location / { return 200 "welcome"; }
    location /health { default_type application/json; return 200 '{"status":"ok","parts":[{"name":"db","up":true}]}'; }
    location /old { return 301 /health; }
    location /sealed { return 301 https://$host:8443/health; }
    location /closed { return 503; }
  }
  server { listen 8080; server_name shop.example; location / { return 200 "shop"; } }
}
END
exec nginx -c /tmp/nginx.conf"#;
    let env: Vec<&str> = env.iter().map(String::as_str).collect();
    let web = start(&*engine, "nginx", of_this_machine(script, &env));
    until_good(&engine, &web, &[("liveness", "http://:8080/")]);
    let good = |given: &[(&str, &str)]| {
        assert_eq!(ask(&engine, &web, given), Outcome::Success, "{given:?}")
    };
    good(&[
        ("liveness", "http://:8080/health"),
        ("liveness.json", "parts[0].up=true"),
    ]);
    good(&[
        ("liveness", "https://:8443/health"),
        ("liveness.json", "status=ok"),
    ]);
    good(&[
        ("liveness", "http://:8080/old"),
        ("liveness.json", "status=ok"),
        ("liveness.status", "200"),
    ]);
    good(&[
        ("liveness", "http://:8080/sealed"),
        ("liveness.json", "status=ok"),
    ]);
    good(&[
        ("liveness", "http://:8080/"),
        ("liveness.host", "shop.example"),
        ("liveness.body", "^shop$"),
    ]);
    good(&[
        ("liveness", "http://:8080/"),
        ("liveness.body", "^welcome$"),
    ]);
    assert_eq!(
        failure(simply(&engine, &web, "http://:8080/closed")),
        "status 503"
    );
    assert_eq!(
        failure(simply(&engine, &web, "https://:8080/"))
            .split(':')
            .next(),
        Some("no TLS")
    );
    done(&web);
}
