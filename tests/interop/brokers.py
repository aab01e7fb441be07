"""Real brokers, private to one test run.

Each listens on the loopback interface only, keeps its data in a directory of its own, needs no service
manager, and is ready when a CONNECTED has come back from it.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from textwrap import dedent
from xml.sax.saxutils import quoteattr

import processes
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from stomp_client import Connection, ConnectionLost, Frame, ProtocolError

LOGIN = PASSCODE = "guest"


class Broker:
    """Start it, crash it, bring it back on the same port and data, look how deep a queue is."""

    kind = ""
    #: How long a start may take at most, on a busy machine.
    patience = 90.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = processes.free_port()
        self.process: subprocess.Popen | None = None
        self.log = directory / "broker.log"
        directory.mkdir(parents=True)

    # What a kind of broker has to say.

    @classmethod
    def missing(cls) -> str | None:
        """Why this broker cannot run here, or None."""
        raise NotImplementedError

    def command(self) -> tuple[list[str], dict[str, str]]:
        """What to run, and in which environment."""
        raise NotImplementedError

    def depth(self, queue: str) -> int:
        """Messages in `queue`, delivered but not acknowledged ones included."""
        raise NotImplementedError

    # What is the same for all.

    @property
    def uri(self) -> str:
        return f"stomp://{LOGIN}:{PASSCODE}@127.0.0.1:{self.port}"

    def start(self) -> Broker:
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Starts without waiting; `wait_ready` has to follow."""
        command, env = self.command()
        self.process = processes.spawn(command, self.log, env, self.directory)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                Connection("127.0.0.1", self.port, timeout=5).disconnect()
                return
            except (OSError, ConnectionLost, ProtocolError, TimeoutError) as error:
                status = self.process.poll()
                if status is not None or time.monotonic() > deadline:
                    state = "still starting" if status is None else f"ended with {status}"
                    raise RuntimeError(
                        f"{self.kind} on port {self.port}: {state}, {error!r}\n{processes.tail(self.log)}"
                    ) from error
                time.sleep(0.05)

    def stop(self) -> None:
        processes.end(self.process)
        self.process = None

    def kill(self) -> None:
        """As if the power had gone."""
        processes.end(self.process, signal.SIGKILL)
        self.process = None

    def close(self) -> None:
        """The end; nothing of it is needed any more."""
        self.kill()

    def wait_empty(self, queue: str, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while (depth := self.depth(queue)) > 0:
            assert time.monotonic() < deadline, f"{depth} messages left in {queue} on {self.kind}"
            time.sleep(0.1)


class ActiveMQ(Broker):
    kind = "activemq"
    _home = Path("/usr/share/activemq")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        #: For JMS clients.
        self.openwire_port = processes.free_port()

    @classmethod
    def missing(cls) -> str | None:
        if not list(cls._home.glob("lib/activemq-stomp*.jar")):
            return "ActiveMQ is not installed (apt-get install activemq)"
        if not shutil.which("java"):
            return "ActiveMQ is installed, but no java to run it"
        return None

    def command(self) -> tuple[list[str], dict[str, str]]:
        conf, tmp = self.directory / "conf", self.directory / "tmp"
        conf.mkdir(exist_ok=True)
        tmp.mkdir(exist_ok=True)
        (conf / "broker.xml").write_text(self._configuration())
        (conf / "log4j.properties").write_text(
            dedent("""\
                log4j.rootLogger=INFO, out
                log4j.appender.out=org.apache.log4j.ConsoleAppender
                log4j.appender.out.layout=org.apache.log4j.PatternLayout
                log4j.appender.out.layout.ConversionPattern=%d %-5p %c{1}: %m%n
            """)
        )
        jars = self.jars("lib", "lib/optional")
        properties = {
            "activemq.home": self._home,
            "activemq.base": self.directory,
            "activemq.conf": conf,
            "activemq.data": self.directory / "data",
            "java.awt.headless": "true",
            "java.io.tmpdir": tmp,
            "java.net.preferIPv4Stack": "true",
            "log4j.configuration": f"file:{conf}/log4j.properties",
        }
        command = ["java", "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"]
        command += [f"-D{name}={value}" for name, value in properties.items()]
        command += ["-cp", ":".join([str(conf), *jars])]
        command += ["org.apache.activemq.console.Main", "start", f"xbean:file:{conf}/broker.xml"]
        return command, processes.environment()

    @classmethod
    def jars(cls, *folders: str) -> list[str]:
        return sorted(jar for folder in folders for jar in glob.glob(f"{cls._home}/{folder}/*.jar"))

    def _configuration(self) -> str:
        data = quoteattr(str(self.directory / "data"))
        stomp = quoteattr(f"stomp+nio://127.0.0.1:{self.port}?wireFormat.maxFrameSize=104857600")
        openwire = quoteattr(f"tcp://127.0.0.1:{self.openwire_port}")
        spring, core = "http://www.springframework.org/schema/beans", "http://activemq.apache.org/schema/core"
        return dedent(f"""\
            <beans xmlns="{spring}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                   xsi:schemaLocation="{spring} {spring}/spring-beans.xsd {core} {core}/activemq-core.xsd">
              <broker xmlns="{core}" brokerName="tests" useJmx="false" dataDirectory={data}>
                <destinationPolicy><policyMap><policyEntries>
                  <policyEntry queue=">" producerFlowControl="false">
                    <deadLetterStrategy>
                      <individualDeadLetterStrategy queuePrefix="DLQ." processNonPersistent="true"/>
                    </deadLetterStrategy>
                  </policyEntry>
                </policyEntries></policyMap></destinationPolicy>
                <plugins>
                  <simpleAuthenticationPlugin anonymousAccessAllowed="true">
                    <users>
                      <authenticationUser username="{LOGIN}" password="{PASSCODE}" groups="users"/>
                    </users>
                  </simpleAuthenticationPlugin>
                </plugins>
                <persistenceAdapter><kahaDB directory={data} journalMaxFileLength="32mb"/></persistenceAdapter>
                <systemUsage><systemUsage>
                  <memoryUsage><memoryUsage percentOfJvmHeap="70"/></memoryUsage>
                  <storeUsage><storeUsage limit="1 gb"/></storeUsage>
                  <tempUsage><tempUsage limit="1 gb"/></tempUsage>
                </systemUsage></systemUsage>
                <transportConnectors>
                  <transportConnector name="stomp" uri={stomp}/>
                  <transportConnector name="openwire" uri={openwire}/>
                </transportConnectors>
              </broker>
            </beans>
        """)

    def depth(self, queue: str) -> int:
        """By a browser: it sees every message, dispatched ones too, and says when it has seen all."""
        with Connection("127.0.0.1", self.port) as look:
            subscribe = {"id": "browser", "destination": queue, "browser": "true", "ack": "auto"}
            look.send(Frame("SUBSCRIBE", subscribe))
            count = 0
            while (frame := look.receive()).headers.get("browser") != "end":
                assert frame.command == "MESSAGE", frame
                count += 1
            return count


class IdentifyingActiveMQ(ActiveMQ):
    """One that knows Ann, too, and says of each message who sent it."""

    LOGIN, PASSCODE = "ann", r"Anns:p@ss/\code"

    def _configuration(self) -> str:
        configuration = super()._configuration()
        user = f'<authenticationUser username="{self.LOGIN}" password="{self.PASSCODE}" groups="users"/>'
        for before, more in (('brokerName="tests"', 'populateJMSXUserID="true" '), ("<authenticationUser ", user)):
            assert before in configuration
            configuration = configuration.replace(before, more + before, 1)
        return configuration


class TlsActiveMQ(ActiveMQ):
    """One that also has a port for STOMP over TLS, and wants certificates there."""

    kind = "activemq"
    _password = "changeit"

    def __init__(self, directory: Path, server: trustme.LeafCert, clients: trustme.CA) -> None:
        super().__init__(directory)
        self.tls_port = processes.free_port()
        self._stores = {"keyStore": self._key_store(server), "trustStore": self._trust_store(clients)}

    def _key_store(self, server: trustme.LeafCert) -> Path:
        certificate = x509.load_pem_x509_certificate(server.cert_chain_pems[0].bytes())
        key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
        encryption = serialization.BestAvailableEncryption(self._password.encode())
        path = self.directory / "keys.p12"
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"broker", key, certificate, None, encryption))
        return path

    def _trust_store(self, authority: trustme.CA) -> Path:
        certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
        trusted = [pkcs12.PKCS12Certificate(certificate, b"authority")]
        encryption = serialization.BestAvailableEncryption(self._password.encode())
        path = self.directory / "trust.p12"
        path.write_bytes(pkcs12.serialize_java_truststore(trusted, encryption))
        return path

    def _configuration(self) -> str:
        stores = " ".join(
            f'{name}={quoteattr(f"file:{path}")} {name}Password="{self._password}" {name}Type="PKCS12"'
            for name, path in self._stores.items()
        )
        connector = f'<transportConnector name="tls" uri="stomp+ssl://127.0.0.1:{self.tls_port}?needClientAuth=true"/>'
        configuration = super()._configuration()
        before = "<transportConnectors>"
        assert before in configuration
        return configuration.replace(before, f"<sslContext><sslContext {stores}/></sslContext>{before}{connector}")


class RabbitMQ(Broker):
    kind = "rabbitmq"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._distribution, self._epmd_port = processes.free_port(), processes.free_port()
        self._epmd: subprocess.Popen | None = None

    @classmethod
    def _home(cls) -> str | None:
        homes = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*"))
        return homes[-1] if homes else None

    @classmethod
    def missing(cls) -> str | None:
        if not cls._home():
            return "RabbitMQ is not installed (apt-get install rabbitmq-server)"
        if not shutil.which("epmd"):
            return "RabbitMQ is installed, but no Erlang (epmd) to run it"
        return None

    def _environment(self) -> dict[str, str]:
        at, home = self.directory, self._home()
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
        )
        return [f"{self._home()}/sbin/rabbitmq-server"], self._environment()

    def launch(self) -> None:
        if self._epmd is None:
            # A port mapper of our own, in the foreground: Erlang would leave one running for good.
            command = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = processes.spawn(command, self.directory / "epmd.log")
        super().launch()

    def close(self) -> None:
        super().close()
        processes.end(self._epmd)
        self._epmd = None

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl ARGUMENTS`, and what it says."""
        command = [f"{self._home()}/sbin/rabbitmqctl", "--silent", *arguments]
        done = subprocess.run(
            command, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def depth(self, queue: str) -> int:
        lines = self.control("list_queues", "name", "messages").splitlines()
        rows = dict(line.rsplit("\t", 1) for line in lines if "\t" in line)
        return int(rows.get(queue.removeprefix("/queue/"), 0))


class DevBroker(Broker):
    """Our own, in a process of its own."""

    kind = "dev"
    binary = Path("stomp-wsgi")
    #: The broker that it plays.
    dialect: str | None = None

    @classmethod
    def missing(cls) -> str | None:
        return None

    def command(self) -> tuple[list[str], dict[str, str]]:
        command = [str(self.binary), "broker", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--dialect", self.dialect] if self.dialect else []
        return command, processes.environment()

    def depth(self, queue: str) -> int:
        """By a consumer that acknowledges nothing: what it was given goes back when it leaves.

        What another consumer holds unacknowledged stays unseen, so stop that one first.
        """
        with Connection("127.0.0.1", self.port) as look:
            look.confirmed(Frame("SUBSCRIBE", {"id": "look", "destination": queue, "ack": "client-individual"}))
            count = 0
            while True:
                try:
                    assert look.receive(0.3).command == "MESSAGE"
                except TimeoutError:
                    return count
                count += 1


def declare(broker: Broker, queue: str, **arguments: str) -> None:
    """A queue of RabbitMQ's with arguments that a SEND to it does not have, so that it is refused."""
    headers = {"id": "q", "destination": queue, "ack": "client-individual", "durable": "true", "auto-delete": "false"}
    with Connection("127.0.0.1", broker.port) as declarer:
        declarer.confirmed(Frame("SUBSCRIBE", headers | arguments))


KINDS: dict[str, type[Broker]] = {kind.kind: kind for kind in (ActiveMQ, RabbitMQ, DevBroker)}
