"""A JMS sender: what a message may have that was not sent by STOMP. ActiveMQ's client for Java, which comes with it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import processes
import pytest
from brokers import LOGIN, PASSCODE, ActiveMQ

SOURCE = """\
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

public class Send {
    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[4]);
        Connection connection = new ActiveMQConnectionFactory(args[1], args[2], args[0]).createConnection();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(session.createQueue(args[3]));
        for (int number = 0; number < count; number++) {
            TextMessage message = session.createTextMessage("text");
            for (int at = 5; at < args.length; at += 2) message.setStringProperty(args[at], args[at + 1]);
            producer.send(message);
        }
        connection.close();
    }
}
"""


class OpenWireActiveMQ(ActiveMQ):
    """One that has a port for its own clients, too."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.openwire_port = processes.free_port()

    def _configuration(self) -> str:
        uri = f"tcp://127.0.0.1:{self.openwire_port}"
        configuration, before = super()._configuration(), "<transportConnectors>"
        assert before in configuration
        if uri in configuration:
            return configuration
        return configuration.replace(before, f'{before}<transportConnector name="openwire" uri="{uri}"/>')

    def send(self, queue: str, properties: dict[str, str], count: int = 1) -> None:
        """So many TextMessages with these string properties."""
        if not shutil.which("javac"):
            pytest.skip("no javac to compile a JMS sender")
        source = self.directory / "Send.java"
        source.write_text(SOURCE)
        jars = ":".join(map(str, self._home.glob("lib/*.jar")))
        uri, name = f"tcp://127.0.0.1:{self.openwire_port}", queue.removeprefix("/queue/")
        command = ["java", "-cp", jars, str(source), uri, LOGIN, PASSCODE, name, str(count)]
        command += [text for pair in properties.items() for text in pair]
        done = subprocess.run(command, env=processes.environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
