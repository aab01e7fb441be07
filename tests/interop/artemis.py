"""ActiveMQ Artemis, from Maven's repository."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from textwrap import dedent
from xml.sax.saxutils import escape

import processes
from broker import FETCHED, LOGIN, PASSCODE, Broker
from stomp_client import Connection, Frame


class Artemis(Broker):
    kind = name = "artemis"
    _home = FETCHED / "artemis"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        #: For JMS clients, by OpenWire or Artemis' own protocol.
        self.openwire_port = processes.free_port()

    @classmethod
    def missing(cls) -> str | None:
        if not (cls._home / "lib" / "artemis-boot.jar").exists():
            return "artemis is not there (install Maven, then tests/prepare.sh brokers)"
        if not shutil.which("java"):
            return "artemis is there, but no java to run it"
        return None

    def command(self) -> tuple[list[str], dict[str, str]]:
        home, at = self._home, self.directory
        etc = at / "etc"
        for directory in (etc, at / "tmp", at / "data"):
            directory.mkdir(exist_ok=True)
        for name, content in self._files(etc).items():
            (etc / name).write_text(dedent(content))
        properties = {
            "artemis.home": home,
            "artemis.instance": at,
            "artemis.instance.etc": etc,
            "artemis.instance.etc.uri": f"file:{etc}/",
            "data.dir": at / "data",
            "java.io.tmpdir": at / "tmp",
            "java.net.preferIPv4Stack": "true",
            "java.security.auth.login.config": etc / "login.config",
            "log4j2.configurationFile": f"file:{etc}/log4j2.properties",
            "log4j2.disableJmx": "true",
        }
        command = ["java", "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"]
        command += ["--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED"]
        command += [f"-D{name}={value}" for name, value in properties.items()]
        command += ["-cp", str(home / "lib" / "artemis-boot.jar"), "org.apache.activemq.artemis.boot.Artemis", "run"]
        return command, processes.environment()

    def acceptors(self) -> dict[str, str]:
        """By name. The prefixes make `/queue/x` the queue x, as JMS clients call it."""
        prefixes = "anycastPrefix=/queue/;multicastPrefix=/topic/"
        return {
            "stomp": f"tcp://127.0.0.1:{self.port}?protocols=STOMP;useEpoll=true;{prefixes}",
            "openwire": f"tcp://127.0.0.1:{self.openwire_port}?protocols=CORE,OPENWIRE;supportAdvisory=false",
        }

    def _files(self, etc: Path) -> dict[str, str]:
        return {
            "bootstrap.xml": f"""\
                <broker xmlns="http://activemq.apache.org/schema">
                  <jaas-security domain="activemq"/>
                  <server configuration="file:{etc}/broker.xml"/>
                </broker>
            """,
            "management.xml": '<management-context xmlns="http://activemq.apache.org/schema"/>\n',
            # Who has a passcode has to have the right one; who has none is a guest.
            "login.config": """\
                activemq {
                  org.apache.activemq.artemis.spi.core.security.jaas.GuestLoginModule sufficient
                    credentialsInvalidate=true
                    org.apache.activemq.jaas.guest.user="anonymous"
                    org.apache.activemq.jaas.guest.role="users";
                  org.apache.activemq.artemis.spi.core.security.jaas.PropertiesLoginModule requisite
                    org.apache.activemq.jaas.properties.user="artemis-users.properties"
                    org.apache.activemq.jaas.properties.role="artemis-roles.properties";
                };
            """,
            "artemis-users.properties": f"{LOGIN} = {PASSCODE}\n",
            "artemis-roles.properties": f"users = {LOGIN}\n",
            "log4j2.properties": """\
                rootLogger.level = INFO
                rootLogger.appenderRef.console.ref = console
                logger.audit.name = org.apache.activemq.audit
                logger.audit.level = OFF
                appender.console.type = Console
                appender.console.name = console
                appender.console.layout.type = PatternLayout
                appender.console.layout.pattern = %d %-5level [%logger] %msg%n
            """,
            "broker.xml": self._configuration(),
        }

    def _configuration(self) -> str:
        acceptors = "".join(f'<acceptor name="{name}">{escape(uri)}</acceptor>' for name, uri in self.acceptors().items())
        everything = ("createNonDurableQueue", "deleteNonDurableQueue", "createDurableQueue", "deleteDurableQueue")
        everything += ("createAddress", "deleteAddress", "consume", "browse", "send", "manage")
        permissions = "".join(f'<permission type="{each}" roles="users"/>' for each in everything)
        return f"""\
            <configuration xmlns="urn:activemq">
              <core xmlns="urn:activemq:core">
                <name>tests</name>
                <persistence-enabled>true</persistence-enabled>
                <journal-type>NIO</journal-type>
                <journal-file-size>10M</journal-file-size>
                <paging-directory>data/paging</paging-directory>
                <bindings-directory>data/bindings</bindings-directory>
                <journal-directory>data/journal</journal-directory>
                <large-messages-directory>data/large-messages</large-messages-directory>
                <max-disk-usage>99</max-disk-usage>
                <acceptors>{acceptors}</acceptors>
                <security-settings>
                  <security-setting match="#">{permissions}</security-setting>
                </security-settings>
                <address-settings>
                  <address-setting match="#">
                    <dead-letter-address>DLQ</dead-letter-address>
                    <expiry-address>ExpiryQueue</expiry-address>
                    <auto-create-queues>true</auto-create-queues>
                    <auto-create-addresses>true</auto-create-addresses>
                  </address-setting>
                </address-settings>
                <addresses>
                  <address name="DLQ"><anycast><queue name="DLQ"/></anycast></address>
                  <address name="ExpiryQueue"><anycast><queue name="ExpiryQueue"/></anycast></address>
                </addresses>
              </core>
            </configuration>
        """

    def control(self, resource: str, attribute: str) -> object:
        """An attribute of a resource, by a management message: `control("queue.DLQ", "messageCount")`."""
        with Connection("127.0.0.1", self.port) as look:
            replies = f"/queue/control.{id(look)}.{os.getpid()}"
            look.confirmed(Frame("SUBSCRIBE", {"id": "c", "destination": replies, "ack": "auto"}))
            headers = {"destination": "activemq.management", "reply-to": replies.removeprefix("/queue/")}
            headers |= {"_AMQ_ResourceName": resource, "_AMQ_Attribute": attribute}
            look.send(Frame("SEND", headers))
            reply = look.receive()
        assert reply.headers.get("_AMQ_OperationSucceeded") == "true", reply
        return json.loads(reply.body)[0]

    def depth(self, queue: str) -> int:
        name = queue.removeprefix("/queue/")
        if name not in self.control("broker", "queueNames"):
            return 0
        return self.control(f"queue.{name}", "messageCount")
