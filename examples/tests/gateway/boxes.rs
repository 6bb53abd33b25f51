//! The daemon with boxes, traced: it starts no process, whether its engine is there or not.

use std::{path::PathBuf, process::Command};

use openclaw_core::serde_json::json;
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::world::World;
use crate::boxed::{engine, skip};

const TEST: &str = "daemon_boxes";
/// Whose boxes these are, on an engine that other tests use, too.
const NAMESPACE: &str = "traced";

/// A way to the engine that can be cut: then all connections end and nobody listens, as if the engine were
/// killed.
struct Way {
    engine: PathBuf,
    socket: PathBuf,
    open: JoinHandle<()>,
}

impl Way {
    fn new(engine: &str, socket: PathBuf) -> Self {
        let open = tokio::spawn(pass(engine.into(), socket.clone()));
        Self { engine: engine.into(), socket, open }
    }

    async fn cut(&mut self) {
        self.open.abort();
        assert!((&mut self.open).await.unwrap_err().is_cancelled());
        std::fs::remove_file(&self.socket).unwrap();
    }

    fn restore(&mut self) {
        self.open = tokio::spawn(pass(self.engine.clone(), self.socket.clone()));
    }
}

async fn pass(engine: PathBuf, socket: PathBuf) {
    let listener = UnixListener::bind(socket).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let engine = engine.clone();
        connections.spawn(async move {
            let mut far = UnixStream::connect(engine).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

/// The command, run by strace, which notes down what starts a process or becomes another program. The command
/// stays the child of who starts it.
fn traced(strace: &std::ffi::OsStr, trace: &std::path::Path, command: &Command) -> Command {
    let mut traced = Command::new(strace);
    traced.args(["-D", "-f", "-q", "-e", "trace=execve,execveat,fork,vfork,clone,clone3", "-o"]);
    traced.arg(trace).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// Waits until a command of one of the boxes has this word in it.
async fn runs(engine: &str, word: &str) {
    let docker = async |arguments: &[&str]| {
        let mut docker = tokio::process::Command::new("docker");
        docker.env("DOCKER_HOST", format!("unix://{engine}")).args(arguments);
        String::from_utf8(docker.output().await.unwrap().stdout).unwrap()
    };
    let filter = format!("label=org.openclaw.box={NAMESPACE}");
    loop {
        for id in docker(&["ps", "--quiet", "--filter", &filter]).await.lines() {
            if docker(&["top", id]).await.contains(word) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_starts_no_process_with_its_engine_or_without() {
    let Some((engine, image)) = engine(TEST) else { return };
    let Some(strace) = std::env::var_os("OPENCLAW_PEER_STRACE").filter(|it| !it.is_empty()) else {
        return skip(TEST, "OPENCLAW_PEER_STRACE is not set");
    };
    let world = World::new().await;
    let path = |name: &str| world.folder.path().join(name);
    let mut way = Way::new(&engine, path("docker.sock"));
    let mut config = world.config();
    let plugins = config["plugins"].as_array_mut().unwrap();
    plugins.push(json!({"plugin": "docker", "config": {
        "socket": path("docker.sock"), "images": {"base": image}, "namespace": NAMESPACE, "examine": "no"
    }}));
    plugins.push(json!({
        "plugin": "shell", "enabled": true, "sandbox": "docker", "limits": {"memory": "128mb"}
    }));
    config["agents"][0]["tools"] = json!(["now", "shell"]);
    world.write(&config);
    let mut daemon = world.spawn(traced(&strace, &path("trace"), &world.gateway(&[]))).await;
    let pid = daemon.child.id();
    let asked = async |script: &str| {
        world.chat.say(&format!("run: {script}")).unwrap();
        world.chat.next_message().await.text
    };
    let works = async || {
        let said = asked("echo boxed-$((6 * 7))").await;
        assert!(said.contains("boxed-42"), "{said}");
    };
    let fails = |said: &str| {
        assert!(said.contains("nothing is run without it") && !said.contains("boxed"), "{said}");
    };
    works().await;
    world.chat.say("run: echo begun; sleep 1234").unwrap();
    runs(&engine, "sleep 1234").await;
    way.cut().await;
    fails(&world.chat.next_message().await.text);
    fails(&asked("echo boxed-$((6 * 7))").await);
    way.restore();
    works().await;
    daemon.signal("TERM");
    daemon.until("stopped").await;
    let (ended, log) = daemon.end().await;
    assert!(ended, "{log}");

    // The tracer needs a moment longer.
    let own = format!("{pid} ");
    let is_end = |line: &str| line.starts_with(&own) && line.ends_with("+++ exited with 0 +++");
    let told = loop {
        let told = std::fs::read_to_string(path("trace")).unwrap();
        if told.lines().any(is_end) {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let calls: Vec<&str> = told.lines().filter(|line| line.contains('(')).collect();
    let (threads, others): (Vec<&str>, Vec<&str>) =
        calls.into_iter().partition(|line| line.contains("CLONE_THREAD"));
    assert!(threads.len() > 2, "{told}");
    assert!(others.len() == 1 && others[0].contains("execve("), "{others:#?}");
}
