"""A real Apache Kafka on this machine, without Docker: one KRaft node on loopback, from Maven's jars.

    python deploy/kafka/kafka.py start      start in the background, print the bootstrap address
    python deploy/kafka/kafka.py status     is it running, and where
    python deploy/kafka/kafka.py stop       stop it
    python deploy/kafka/kafka.py run        the same in the foreground, until Ctrl-C

The jars are fetched once (`mvn`, pom.xml beside this file) into target/. The data stays between starts in
.run/data unless --data-dir says otherwise. Needs Java 17 or newer, and Maven for the first start.
Tests use the class `Broker`: each has its own port and directory, and can be paused, killed and restarted.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time  # noqa: TID251 - a script of its own: it cannot import the clock port
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
JARS = HERE / "target" / "jars"
RUN_FILE = HERE / ".run" / "kafka.json"
DEFAULT_PORT = 9092
DEFAULT_PARTITIONS = 12
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0

# A broker for one developer: small heap, and flags that save a second of start-up at the cost of peak speed.
JVM_FLAGS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


class KafkaError(Exception):
    """The broker could not be started or stopped; the message says what to do."""


def missing_tools() -> str | None:
    """What is missing to run a broker here (`java is not installed …`), or None."""
    if shutil.which("java") is None:
        return "java is not installed (Java 17 or newer is needed)"
    if not _jars_present() and shutil.which("mvn") is None:
        return "mvn (Maven) is not installed, and the jars were not fetched yet"
    return None


def fetch_jars() -> None:
    """Have Maven copy the server's jars to target/jars; does nothing when they are there.

    Raises:
        KafkaError: Java or Maven is missing, or Maven failed (its last lines are in the message).

    """
    missing = missing_tools()
    if missing:
        raise KafkaError(
            f"{missing}. Install it, or use the embedded broker (python -m kafka_saga.messaging.embedded)."
        )
    if not _jars_present():
        JARS.parent.mkdir(exist_ok=True)
        with (JARS.parent / "lock").open("w") as lock:  # two may start at once, each with a broker of its own
            fcntl.flock(lock, fcntl.LOCK_EX)
            _fetch_jars()


def _fetch_jars() -> None:
    if _jars_present():  # somebody else fetched them meanwhile
        return
    print("fetching Apache Kafka with Maven (once) ...", file=sys.stderr)
    result = subprocess.run(["mvn", "-q", "-B", "package"], cwd=HERE, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-8:])
        raise KafkaError(f"Maven could not fetch Apache Kafka:\n{tail}")


def _jars_present() -> bool:
    return any(JARS.glob("kafka_2.13-*.jar")) and any(JARS.glob("log4j-slf4j*.jar"))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now.

    It lies below the range from which systems take the ports of outgoing connections: while a broker is
    down, one of its own clients could otherwise be given the broker's port.
    """
    while True:
        port = 20_000 + int.from_bytes(os.urandom(2), "big") % 12_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker answers an ApiVersions request at 127.0.0.1:`port`."""
    client = b"probe"
    request = struct.pack(">hhih", 18, 0, 1, len(client)) + client
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 10 and struct.unpack(">iih", head)[1:] == (1, 0)


@dataclass
class Listener:
    """One more port of a broker, beside its plain one: by TLS, with users, or with a wrong address to go on to."""

    protocol: str  # PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
    port: int = field(default_factory=free_port)
    advertised: str | None = None  # host:port that clients are sent to; its own when not given
    host: str = "127.0.0.1"  # the address that it listens on; another where a network namespace leads to it

    @property
    def bootstrap_servers(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass
class Broker:
    """One broker process with its own data directory and port, which it keeps over restarts."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    partitions: int = DEFAULT_PARTITIONS
    config: dict[str, str] = field(default_factory=dict)  # more server properties; they win over ours
    listeners: dict[str, Listener] = field(default_factory=dict)  # more ports, by their names in capitals
    scram: dict[str, str] = field(default_factory=dict)  # passwords of SCRAM-SHA-512 users, from the start on
    jvm_options: tuple[str, ...] = ()  # more of them
    pid: int | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "kafka.log"

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the broker and wait until it answers.

        Raises:
            KafkaError: the port is taken, the broker ended (with its last log lines), or it did not answer in time.

        """
        fetch_jars()
        _refuse_taken_port(self.port)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        properties.write_text(self._properties())
        self._format_storage(properties)
        command = self._java("kafka.Kafka", str(properties))
        with self.log_file.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal must not reach a broker that runs in the background.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.pid = self._process.pid
        self._wait_until_ready(timeout_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Shut the broker down cleanly; kill it when that takes longer than `timeout_s` seconds."""
        self.resume()  # a paused process would not see the signal
        self._signal(signal.SIGTERM)
        if not self._wait_until_gone(timeout_s):
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)
        self._wait_until_gone(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop cleanly and start again: same port, same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _java(self, main: str, *words: str) -> list[str]:
        log = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        return ["java", *JVM_FLAGS, *self.jvm_options, log, "-cp", f"{JARS}/*", main, *words]

    def _format_storage(self, properties: Path) -> None:
        """What `kafka-storage format` writes, without the second that another JVM costs; users are its own work."""
        meta = self.data_dir / "logs" / "meta.properties"
        if meta.exists():
            return
        if self.scram:
            command = self._java("kafka.tools.StorageTool", "format", "-t", _kafka_id(), "-c", str(properties))
            for name, password in self.scram.items():
                command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                raise KafkaError(f"kafka-storage format failed:\n{done.stdout.strip()}")
            return
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text(f"version=1\nnode.id=1\ncluster.id={_kafka_id()}\ndirectory.id={_kafka_id()}\n")

    def _properties(self) -> str:
        controller = free_port()
        plain = {"PLAINTEXT": Listener("PLAINTEXT", self.port), **self.listeners}
        bound = [f"{name}://{one.host}:{one.port}" for name, one in plain.items()]
        told = [f"{name}://{one.advertised or one.bootstrap_servers}" for name, one in plain.items()]
        protocols = [f"{name}:{one.protocol}" for name, one in plain.items()]
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*bound, f"CONTROLLER://127.0.0.1:{controller}"]),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "log.dirs": str(self.data_dir / "logs"),
            "num.partitions": str(self.partitions),
            "auto.create.topics.enable": "false",  # a misspelt topic must be an error, not a new topic
            "group.initial.rebalance.delay.ms": "0",
            # After a kill the controller waits for the old process's session to end before it takes the new one.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "log.retention.hours": "168",
            "log.segment.bytes": str(64 * 1024 * 1024),  # files are allocated whole: small segments, small disk
            # A partition's first write into its mapped indexes took 30 ms with 10 MB, the default; this suffices.
            "log.index.size.max.bytes": str(1024 * 1024),
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **self.config,
        }
        return "".join(f"{name}={value}\n" for name, value in properties.items())

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not answers(self.port):
            if self._process is not None and self._process.poll() is not None:
                raise KafkaError(f"the broker ended at once; its last lines:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise KafkaError(f"the broker did not answer within {timeout_s:.0f} s:\n{self._log_tail()}")
            time.sleep(0.05)

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        self.pid = None
        self._process = None
        return True

    def running(self) -> bool:
        """Whether the process exists (it may be paused)."""
        if self._process is not None:
            return self._process.poll() is None
        return self.pid is not None and _is_kafka(self.pid)

    def _log_tail(self) -> str:
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-12:])


def _kafka_id() -> str:
    """A random id in Kafka's own form: 16 bytes as URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(b"\x40" + os.urandom(15)).decode().rstrip("=")


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise KafkaError(
                f"port {port} of 127.0.0.1 is in use: another broker may be running; choose one with --port"
            ) from error


def _is_kafka(pid: int) -> bool:
    """Whether `pid` is still a broker and not another process that was given the same number."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.parent.parent.joinpath("self").exists():
        return proc.exists() and b"kafka.Kafka" in proc.read_bytes()
    ps = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "kafka.Kafka" in ps.stdout


def _running() -> Broker | None:
    """The broker that `start` started, or None (a stale run file is removed)."""
    if not RUN_FILE.exists():
        return None
    run = json.loads(RUN_FILE.read_text())
    broker = Broker(Path(run["data_dir"]), port=run["port"], pid=run["pid"])
    if broker.running():
        return broker
    RUN_FILE.unlink(missing_ok=True)
    return None


def _start(arguments: argparse.Namespace) -> Broker:
    fetch_jars()
    broker = _running()
    if broker is not None:
        print(f"already running: {broker.bootstrap_servers} (pid {broker.pid})")
        return broker
    broker = Broker(arguments.data_dir, port=arguments.port, partitions=arguments.partitions)
    broker.start()
    RUN_FILE.parent.mkdir(parents=True, exist_ok=True)
    run = {"pid": broker.pid, "port": broker.port, "data_dir": str(broker.data_dir)}
    RUN_FILE.write_text(json.dumps(run) + "\n")
    print(f"Apache Kafka at {broker.bootstrap_servers} (pid {broker.pid}, log {broker.log_file})")
    print(f"  look:  kcat -b {broker.bootstrap_servers} -L")
    print(f"  use:   export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}")
    return broker


def _stop() -> None:
    broker = _running()
    if broker is None:
        print("not running")
        return
    broker.stop()
    RUN_FILE.unlink(missing_ok=True)
    print("stopped")


def _run(arguments: argparse.Namespace) -> None:
    broker = _start(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while broker.running():
            time.sleep(0.5)
        raise KafkaError(f"the broker ended:\n{broker._log_tail()}")  # noqa: SLF001 - same file
    except KeyboardInterrupt:
        print()
    finally:
        _stop()


def main(argv: list[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Apache Kafka on this machine, without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("start", "run"):
        command = commands.add_parser(name)
        command.add_argument("--port", type=int, default=DEFAULT_PORT)
        command.add_argument("--data-dir", type=Path, default=HERE / ".run" / "data")
        command.add_argument("--partitions", type=int, default=DEFAULT_PARTITIONS, help="of a new topic by default")
    commands.add_parser("stop")
    commands.add_parser("status")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "start":
            _start(arguments)
        elif arguments.command == "run":
            _run(arguments)
        elif arguments.command == "stop":
            _stop()
        else:
            broker = _running()
            print(f"running: {broker.bootstrap_servers} (pid {broker.pid})" if broker else "not running")
            return 0 if broker else 1
    except KafkaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
