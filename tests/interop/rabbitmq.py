"""RabbitMQ, 3 from Debian 12, or 4 from Debian 13 in a root directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import processes
from broker import FETCHED, Broker
from stomp_client import Connection, Frame


@dataclass(frozen=True)
class Release:
    #: What is `/` to it. Where that is another directory, Erlang and all else that the broker needs is in there.
    root: Path
    #: Whether it takes properties, and names of headers, of more than 255 octets; else it ends the sender's connection.
    long_strings: bool
    #: Octets of the longest frame that it takes with its own settings, if it has such a limit.
    frame: int | None
    remedy: str

    @property
    def apart(self) -> bool:
        return self.root != Path("/")

    def home(self) -> str | None:
        """Where RabbitMQ is, seen from `root`."""
        homes = sorted(self.root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))
        return f"/{homes[-1].relative_to(self.root)}" if homes else None

    def missing(self) -> str | None:
        if not self.home():
            return self.remedy
        if not self.apart and not shutil.which("epmd"):
            return "it is installed, but no Erlang (epmd) to run it"
        if self.apart and os.geteuid() != 0:
            return "only root can run it: it has a root directory of its own"
        return None

    def command(self, directory: Path, *command: str) -> list[str]:
        """`command` in its root, where `directory` is `/mnt`.

        What is mounted is seen by this process alone and goes with it: the mounts have a namespace of their own.
        Each program takes the place of the one before, so there is one process, with one pid.
        """
        if not self.apart:
            return list(command)
        script = 'mount --bind "$1" "$2/mnt" && mount --rbind /proc "$2/proc" && mount --rbind /dev "$2/dev" || exit 1\n'
        script += 'root=$2; shift 2; exec chroot "$root" "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(directory), str(self.root), *command]


RELEASES = {
    "rabbitmq-3": Release(Path("/"), True, None, "it is not installed (apt-get install rabbitmq-server)"),
    "rabbitmq-4": Release(
        FETCHED / "rabbitmq-4", False, 4 << 20, "it is not there (install mmdebstrap, then tests/prepare.sh brokers as root)"
    ),
}


class RabbitMQ(Broker):
    kind = "rabbitmq"
    #: Which release: `brokers` says.
    name = "rabbitmq-3"
    #: Whether it takes frames and messages of 128 MiB, as the tests of large bodies need.
    raised = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._distribution, self._epmd_port = processes.free_port(), processes.free_port()
        self._epmd: subprocess.Popen | None = None

    @classmethod
    def missing(cls) -> str | None:
        why = cls.release().missing()
        return why and f"{cls.name}: {why}"

    @classmethod
    def release(cls) -> Release:
        return RELEASES[cls.name]

    def _run(self, program: str, *arguments: str) -> list[str]:
        return self.release().command(self.directory, program, *arguments)

    def _environment(self) -> dict[str, str]:
        home = self.release().home()
        at = Path("/mnt") if self.release().apart else self.directory
        small = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        return processes.environment(
            HOME=str(at),  # where the Erlang cookie goes
            PATH=f"{home}/sbin:{os.environ['PATH']}",
            RABBITMQ_HOME=home,
            RABBITMQ_NODENAME=f"tests{self.port}@localhost",
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_CONFIG_FILE=str(at / "rabbitmq"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(at / "plugins"),
            RABBITMQ_GENERATED_CONFIG_DIR=str(at / "generated"),
            RABBITMQ_MNESIA_BASE=str(at / "mnesia"),
            RABBITMQ_LOG_BASE=str(at / "log"),
            RABBITMQ_PID_FILE=str(at / "pid"),
            RABBITMQ_DIST_PORT=str(self._distribution),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"{small} -kernel inet_dist_use_interface {{127,0,0,1}}",
            RABBITMQ_CTL_ERL_ARGS="+S 1:1",
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(self._epmd_port),
            # The virtual machine takes the place of its start script: one process, one pid.
            RUNNING_UNDER_SYSTEMD="true",
        )

    def command(self) -> tuple[list[str], dict[str, str]]:
        (self.directory / "plugins").write_text("[rabbitmq_stomp].\n")
        # Since 3.12 a frame is limited to 4 MiB, since 4.0 a message to 16 MiB; 3.10 does not know the former setting.
        raised = self.raised and self.release().frame
        large = "stomp.max_frame_size = 134217728\nmax_message_size = 134217728" if raised else ""
        (self.directory / "rabbitmq.conf").write_text(
            dedent(f"""\
                listeners.tcp = none
                stomp.listeners.tcp.1 = 127.0.0.1:{self.port}
                log.console = true
                log.console.level = info
                log.file = false
                vm_memory_high_watermark.absolute = 1GB
                disk_free_limit.absolute = 50MB
            """)
            + f"{large}\n"
        )
        return self._run(f"{self.release().home()}/sbin/rabbitmq-server"), self._environment()

    def launch(self) -> None:
        if self._epmd is None:
            # A port mapper of our own, in the foreground: Erlang would leave one running for good.
            command = self._run("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
            self._epmd = processes.spawn(command, self.directory / "epmd.log")
        super().launch()

    def close(self) -> None:
        super().close()
        processes.end(self._epmd)
        self._epmd = None

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl ARGUMENTS`, and what it says."""
        command = self._run(f"{self.release().home()}/sbin/rabbitmqctl", "--silent", *arguments)
        done = subprocess.run(
            command, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def depth(self, queue: str) -> int:
        lines = self.control("list_queues", "name", "messages").splitlines()
        rows = dict(line.rsplit("\t", 1) for line in lines if "\t" in line)
        return int(rows.get(queue.removeprefix("/amq").removeprefix("/queue/"), 0))


def declare(broker: Broker, queue: str, **arguments: str) -> None:
    """A queue of RabbitMQ's with arguments that a SEND to it does not have, so that it is refused."""
    headers = {"id": "q", "destination": queue, "ack": "client-individual", "durable": "true", "auto-delete": "false"}
    with Connection("127.0.0.1", broker.port) as declarer:
        declarer.confirmed(Frame("SUBSCRIBE", headers | arguments))
