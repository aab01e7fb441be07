"""ActiveMQ Classic, 5 from Debian or 6 from Maven's repository: one configuration for both."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from xml.sax.saxutils import quoteattr

import processes
import trustme
from broker import FETCHED, LOGIN, PASSCODE, Broker
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from stomp_client import Connection, Frame


@dataclass(frozen=True)
class Release:
    home: Path
    #: Folders of jars: what a broker needs, the first of them also what a JMS client needs.
    folders: tuple[str, ...]
    #: The package of JMS: its name has changed.
    jms: str
    #: Whether STOMP clients are given the text of a TextMessage in UTF-8, and not as Java stores it (AMQ-8398).
    utf8: bool
    #: What to do where it is missing.
    remedy: str


RELEASES = {
    "activemq-5": Release(
        Path("/usr/share/activemq"), ("lib", "lib/optional"), "javax.jms", utf8=False, remedy="apt-get install activemq"
    ),
    "activemq-6": Release(
        FETCHED / "activemq-6", (".",), "jakarta.jms", utf8=True, remedy="install Maven, then tests/prepare.sh brokers"
    ),
}


class ActiveMQ(Broker):
    kind = "activemq"
    #: Which release: `brokers` says.
    name = "activemq-5"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        #: For JMS clients.
        self.openwire_port = processes.free_port()

    @classmethod
    def missing(cls) -> str | None:
        if not any("activemq-stomp" in jar for jar in cls.jars()):
            return f"{cls.name} is not there ({cls.release().remedy})"
        if not shutil.which("java"):
            return f"{cls.name} is there, but no java to run it"
        return None

    @classmethod
    def release(cls) -> Release:
        return RELEASES[cls.name]

    def command(self) -> tuple[list[str], dict[str, str]]:
        conf, tmp = self.directory / "conf", self.directory / "tmp"
        conf.mkdir(exist_ok=True)
        tmp.mkdir(exist_ok=True)
        (conf / "broker.xml").write_text(self._configuration())
        # ActiveMQ 6 has SLF4J's simple logger here, which needs no file.
        (conf / "log4j.properties").write_text(
            dedent("""\
                log4j.rootLogger=INFO, out
                log4j.appender.out=org.apache.log4j.ConsoleAppender
                log4j.appender.out.layout=org.apache.log4j.PatternLayout
                log4j.appender.out.layout.ConversionPattern=%d %-5p %c{1}: %m%n
            """)
        )
        properties = {
            "activemq.home": self.release().home,
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
        command += ["-cp", ":".join([str(conf), *self.jars()])]
        command += ["org.apache.activemq.console.Main", "start", f"xbean:file:{conf}/broker.xml"]
        return command, processes.environment()

    @classmethod
    def jars(cls, folders: int | None = None) -> list[str]:
        """Those of the first `folders` of a release, or all."""
        release = cls.release()
        return sorted(str(jar) for folder in release.folders[:folders] for jar in (release.home / folder).glob("*.jar"))

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
