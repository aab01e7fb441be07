import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.Message;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Sends messages with properties that a STOMP frame cannot carry: URI QUEUE, and for each message a line of
 * `text|compressed|bytes|map BODY REPLY-TO CORRELATION-ID [NAME VALUE]...`, all but the first word in Base64 and an
 * equals sign before it. Says `sent` when the broker has them all.
 */
public class MalformedSender {
    private static byte[] octets(String word) {
        return Base64.getDecoder().decode(word.substring(1));
    }

    private static String text(String word) {
        return new String(octets(word), StandardCharsets.UTF_8);
    }

    public static void main(String[] arguments) throws Exception {
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory("guest", "guest", arguments[0]);
        factory.setAlwaysSyncSend(true);
        factory.setUseCompression(false);
        ActiveMQConnectionFactory compressing = new ActiveMQConnectionFactory("guest", "guest", arguments[0]);
        compressing.setAlwaysSyncSend(true);
        compressing.setUseCompression(true);
        Connection plain = factory.createConnection(), compressed = compressing.createConnection();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split(" ");
            Connection connection = words[0].equals("compressed") ? compressed : plain;
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Message message;
            if (words[0].equals("bytes")) {
                BytesMessage bytes = session.createBytesMessage();
                bytes.writeBytes(octets(words[1]));
                message = bytes;
            } else if (words[0].equals("map")) {
                message = session.createMapMessage();
            } else {
                message = session.createTextMessage(text(words[1]));
            }
            if (!text(words[2]).isEmpty()) {
                message.setJMSReplyTo(session.createQueue(text(words[2])));
            }
            message.setJMSCorrelationID(text(words[3]));
            for (int at = 4; at + 1 < words.length; at += 2) {
                message.setStringProperty(text(words[at]), text(words[at + 1]));
            }
            MessageProducer producer = session.createProducer(session.createQueue(arguments[1]));
            producer.send(message);
            session.close();
        }
        plain.close();
        compressed.close();
        System.out.println("sent");
    }
}
