//! An engine with the sample app in it, to try things by hand.
//!
//! `lab up DIR` starts both and leaves them running (`lab up DIR newest` with the newest engine); `lab down
//! DIR` takes them away.

use std::io::Write as _;
use std::path::Path;

use lifeboat_testkit::engine::{EngineOptions, PrivateEngine, Release};
use lifeboat_testkit::sample_app::SampleApp;
use lifeboat_testkit::{Error, Result};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["up", dir] => up(Path::new(dir), Release::Distribution),
        ["up", dir, "newest"] => up(Path::new(dir), Release::Newest),
        ["down", dir] => {
            PrivateEngine::destroy_at(&Path::new(dir).join("engine"))?;
            Ok(fs_err::remove_dir_all(dir)?)
        }
        _ => Err(Error::Unsupported(
            "usage: lab up DIR [newest] | lab down DIR".into(),
        )),
    }
}

fn up(dir: &Path, release: Release) -> Result<()> {
    fs_err::create_dir_all(dir)?;
    let options = EngineOptions::new("lab", dir.join("engine"))
        .hostname("harbour")
        .release(release);
    let engine = PrivateEngine::start(options)?;
    let app = SampleApp::create(&engine, &dir.join("shop"))?;
    app.wait_ready(&engine)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "export DOCKER_HOST={}", engine.docker_host())?;
    let keeper = engine.keeper_pid();
    writeln!(out, "# as on its host: nsenter -t {keeper} -m -n -u")?;
    engine.detach().map(drop)
}
