"""What real brokers and the development broker that plays them are both asked. `scenarios` says how to read them."""

from __future__ import annotations

from scenarios import Scenario


def scenarios(
    text: str, ordered: bool = False, known: dict[str, str] | None = None, differs: dict[str, dict[str, str]] | None = None
) -> list[Scenario]:
    """Scenarios of `# name` and the steps below it. `known` and `differs` are by name."""
    found = []
    for part in ("\n" + text).split("\n# ")[1:]:
        name, _, steps = part.partition("\n")
        name = name.strip()
        found.append(Scenario(name, steps, ordered, (known or {}).pop(name, None), (differs or {}).pop(name, {})))
    assert not known and not differs, f"no such scenarios: {known} {differs}"
    assert len({each.name for each in found}) == len(found), "two scenarios of one name"
    return found


RABBITMQ = scenarios(
    r"""
# connected
a CONNECT accept-version:1.0,1.1,1.2 host:/ login:guest passcode:guest heart-beat:1500,2600 -> 1

# connected without a version
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q receipt:s -> 1
a SEND destination:/queue/Q | m -> 1

# a heart-beat below a second is one second
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest heart-beat:10,20 -> 1

# a heart-beat that is no number
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest heart-beat:a,b -> 1

# no version in common
a CONNECT accept-version:100.1 host:/ login:guest passcode:guest -> 1

# a virtual host that is not there
a CONNECT accept-version:1.1 host:// login:guest passcode:guest -> 1

# not connected
a RAW 'SEND\ndestination:/queue/Q\n\nm\0' -> 1

# an unknown command
a WRONG destination:a receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:s -> 1

# an unknown command before CONNECT
a RAW 'WRONG\n\n\0' -> 1

# CONNECT twice
a CONNECT accept-version:1.2 host:/ login:guest passcode:guest -> 1
a CONNECT accept-version:1.2 host:/ login:guest passcode:guest

# an escape that does not exist
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nx:\\t\n\nm\0'

# a header without a colon
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nnothing\n\nm\0'

# DISCONNECT with a receipt
a DISCONNECT receipt:bye -> 1

# SEND and SUBSCRIBE without a destination
a SEND receipt:r | m -> 1
a SUBSCRIBE id:1 receipt:s -> 1

# SEND to destinations that are none
a SEND destination:/queue | m -> 1
a SEND destination:/queue/ | m -> 1
a SEND destination:/queue/a/b | m -> 1
a SEND destination:/topic | m -> 1
a SEND destination:/topic/ | m -> 1
a SEND destination:/topic/a/b | m -> 1
a SEND destination:/exchange | m -> 1
a SEND destination:/exchange/ | m -> 1
a SEND destination:/exchange//foo | m -> 1
a SEND destination:/exchange/a/b/c | m -> 1
a SEND destination:/amq/queue | m -> 1
a SEND destination:/amq/queue/ | m -> 1
a SEND destination:/temp-queue/foo | m -> 1
a SEND destination:/temp-queue/ | m -> 1
a SEND destination:/something/interesting | m -> 1
a SEND destination:/ | m -> 1
a SEND destination:/queues/Q | m -> 1
a SEND receipt:r destination:/queue/Q | alive -> 1

# an empty destination
a SEND destination: | m -> 1

# SUBSCRIBE to destinations that are none
a SUBSCRIBE id:1 destination:/queue/ -> 1
a SUBSCRIBE id:2 destination:/topic/a/b receipt:r -> 1
a SUBSCRIBE id:3 destination:/temp-queue/foo -> 1
a SUBSCRIBE id:4 destination:/something/interesting -> 1
a SUBSCRIBE id:5 destination: -> 1

# SUBSCRIBE to an exchange that is not there
a SUBSCRIBE id:1 destination:/exchange/does.not.exist receipt:r -> 2

# SEND to an exchange that is not there
a SEND destination:/exchange/does.not.exist/Q | m -> 1

# SUBSCRIBE to a queue that is not there
a SUBSCRIBE id:1 destination:/amq/queue/Q receipt:r -> 2

# SEND to a queue that is not there
a SEND destination:/amq/queue/Q receipt:r | m -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:s -> 1
a SEND destination:/amq/queue/Q receipt:t | m -> 2

# a queue that another one declared
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b SUBSCRIBE id:1 destination:/amq/queue/Q receipt:r -> 1
c SEND destination:/queue/Q | one -> a1
c SEND destination:/queue/Q | two -> b1

# a queue stays when its consumer goes
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
b SUBSCRIBE id:1 destination:/amq/queue/Q receipt:r -> 1

# a reserved name
a SUBSCRIBE id:1 destination:/queue/amq.Q receipt:r -> 2

# a name of a queue without a prefix
a SUBSCRIBE id:1 destination:Q receipt:r -> 1
a SEND destination:/queue/Q | m -> 1

# a slash in a name
a SUBSCRIBE id:1 destination:/queue/Q%2Fb receipt:r -> 1
a SEND destination:/queue/Q%2Fb | m -> 1

# a MESSAGE
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q x:1 y:2 content-type:text/plain correlation-id:c priority:5 persistent:true type:t app-id:i expiration:60000 timestamp:17 amqp-message-id:n content-encoding:e custom:z | m -> 1
a SEND destination:/queue/Q -> 1
a SEND destination:/queue/Q content-length:1 | m -> 1

# headers that a sender may not give
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q message-id:mine receipt:r | m -> 1
a SEND destination:/queue/Q subscription:mine ack:mine redelivered:mine expires:7 browser:b receipt-id:i login:l passcode:p selector:s JMSXUserID:u persistent:false2 | m -> 1

# a header twice
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q x:1 x:2 | m -> 1

# a user that one is not
a SEND destination:/queue/Q user-id:somebody receipt:r | m -> 1

# a user that one is
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q user-id:guest | m -> 1

# a priority that is no number
a SEND destination:/queue/Q priority:high receipt:r | m -> 1

# a receipt for each frame
a SEND destination:/queue/Q receipt:1 | m -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:2 -> 2
a UNSUBSCRIBE id:1 receipt:3 -> 1
a BEGIN transaction:t receipt:4 -> 1
a COMMIT transaction:t receipt:5 -> 1
a BEGIN transaction:t receipt:6 -> 1
a ABORT transaction:t receipt:7 -> 1

# SUBSCRIBE without an id
a SUBSCRIBE destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK id:{ack} receipt:k -> 1
a UNSUBSCRIBE destination:/queue/Q receipt:u -> 1

# UNSUBSCRIBE of nothing
a UNSUBSCRIBE id:9 receipt:u -> 1
a UNSUBSCRIBE destination:/queue/Q -> 1
a UNSUBSCRIBE receipt:v -> 1
a UNSUBSCRIBE id:/temp-queue/x -> 1

# an id that is in use
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:s -> 2

# an ack mode that does not exist
a SUBSCRIBE id:1 destination:/queue/Q ack:never receipt:r -> 1

# ACK of an unknown message
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a ACK id:what receipt:k -> 1
a ACK receipt:k -> 1
a ACK message-id:x receipt:k -> 1
a NACK receipt:k -> 1
a ACK id:T_9@@session@@1 receipt:k -> 1
a ACK id:T_1@@session@@7 receipt:k -> 2

# ACK twice
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK id:{ack} receipt:k -> 1
a ACK id:{ack} receipt:l -> 2

# ACK of a message that needs none
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK id:{message-id} receipt:k -> 2

# ACK after UNSUBSCRIBE
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a ACK id:{ack} receipt:k -> 1
a CLOSE -> b1

# ACK of 1.1 with a foreign subscription
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK message-id:{message-id} subscription:other receipt:k -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# ACK of one message is for all before it, whatever the subscription
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SUBSCRIBE id:2 destination:/queue/Q.other ack:client receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q.other | two -> 1
a ACK id:{ack} receipt:k -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b SUBSCRIBE id:2 destination:/queue/Q.other receipt:r -> 1
a CLOSE

# NACK comes back
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a NACK id:{ack} receipt:k -> 2
a NACK id:{ack} requeue:false receipt:l -> 1

# NACK of several
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q | two -> 1
a NACK id:{ack} -> 2
a ACK id:{ack} receipt:l -> 1

# NACK in STOMP 1.0
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q ack:client-individual receipt:s -> 1
a SEND destination:/queue/Q | m -> 1
a NACK message-id:{message-id} requeue:False receipt:k -> 1

# redelivered
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a CLOSE -> b1

# prefetch
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual prefetch-count:2 receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
b SEND destination:/queue/Q receipt:r | three -> 1
a ACK id:{ack} -> 1

# a prefetch count holds for later subscriptions
a SUBSCRIBE id:1 destination:/queue/Q.one ack:client-individual prefetch-count:1 receipt:r -> 1
a SUBSCRIBE id:2 destination:/queue/Q ack:client-individual receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q receipt:r | two -> 1

# a prefetch count that is no number
a SUBSCRIBE id:1 destination:/queue/Q prefetch-count:many receipt:r -> 1

# prefetch of a topic
a SUBSCRIBE id:1 destination:/topic/Q ack:client prefetch-count:2 receipt:r -> 1
b SEND destination:/topic/Q | one -> a1
b SEND destination:/topic/Q | two -> a1
b SEND destination:/topic/Q receipt:r | three -> 1

# a topic
a SUBSCRIBE id:1 destination:/topic/Q.news receipt:r -> 1
b SUBSCRIBE id:1 destination:/topic/Q.news receipt:r -> 1
c SEND destination:/topic/Q.news | m -> a1 b1
c SEND destination:/topic/Q.other receipt:r | m -> 1

# wildcards
a SUBSCRIBE id:star destination:/topic/Q.*.x receipt:r -> 1
c SUBSCRIBE id:hash destination:/topic/Q.# receipt:r -> 1
b SEND destination:/topic/Q.one.x receipt:r | both -> 1 a1 c1
b SEND destination:/topic/Q.one.two.x receipt:r | hash -> 1 c1
b SEND destination:/topic/Q receipt:r | hash -> 1 c1
b SEND destination:/topic/Qq receipt:r | none -> 1

# exchanges
a SUBSCRIBE id:d destination:/exchange/amq.direct/Q receipt:r -> 1
b SEND destination:/exchange/amq.direct/Q | direct -> a1
a SUBSCRIBE id:t destination:/exchange/amq.topic/Q receipt:r -> 1
b SEND destination:/topic/Q | topic -> a1
b SEND destination:/exchange/amq.topic/Q | topic -> a1
b SEND destination:/exchange/amq.direct/Q.other receipt:r | none -> 1

# a star means nothing to a direct exchange
a SUBSCRIBE id:d destination:/exchange/amq.direct/Q.* receipt:r -> 1
b SEND destination:/exchange/amq.direct/Q.x receipt:r | none -> 1
b SEND destination:/exchange/amq.direct/Q.* | m -> a1

# a temporary queue
w SUBSCRIBE id:w destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q reply-to:/temp-queue/foo | q -> w1
w SEND destination:{reply-to} | reply -> a1
a SEND destination:/queue/Q reply-to:/temp-queue/foo receipt:r | q -> 1 w1
a SEND destination:/queue/Q reply-to:/queue/Q.replies | q -> w1
a CLOSE
w SLEEP 0.2
w SEND destination:{reply-to} receipt:gone | reply -> 1

# a reply to a temporary queue whose owner is gone
w SUBSCRIBE id:w destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q reply-to:/temp-queue/foo | q -> w1
a CLOSE
w SLEEP 0.2
w SEND destination:{reply-to} receipt:gone | reply -> 1

# a reply-to that is no destination
a SEND destination:/queue/Q reply-to:/nowhere/x receipt:r | q -> 1

# a reply-to without a prefix
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q reply-to:name | q -> 1

# a transaction
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t receipt:b -> 1
a SEND destination:/queue/Q transaction:t receipt:1 | one
a SEND destination:/queue/Q receipt:2 | two -> 2
a COMMIT transaction:t receipt:c -> 3

# ABORT
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t
a SEND destination:/queue/Q transaction:t receipt:1 | one
a ABORT transaction:t receipt:c -> 1
a SEND destination:/queue/Q | two -> 1

# a transaction that is not open
a SEND destination:/queue/Q transaction:t receipt:1 | one -> 1
a COMMIT transaction:t receipt:1 -> 1
a ABORT transaction:t receipt:1 -> 1
a BEGIN receipt:1 -> 1
a COMMIT receipt:1 -> 1

# BEGIN twice
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t
a SEND destination:/queue/Q transaction:t | one
a BEGIN transaction:t receipt:b -> 1
a SEND destination:/queue/Q transaction:t | two
a COMMIT transaction:t receipt:c -> 2

# ACK and NACK in a transaction
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual prefetch-count:1 receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q receipt:s | two -> 1
a BEGIN transaction:t
a ACK id:{ack} transaction:t receipt:k -> 1
a COMMIT transaction:t receipt:c -> 2
a BEGIN transaction:t
a NACK id:{ack} transaction:t requeue:false receipt:k -> 1
a COMMIT transaction:t receipt:c -> 1

# a durable subscription
a SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
b SEND destination:/topic/Q | first -> a1
a UNSUBSCRIBE id:Q receipt:u -> 1
b SEND destination:/topic/Q receipt:s | second -> 1
a SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 2
a UNSUBSCRIBE id:Q durable:true receipt:u -> 1
b SEND destination:/topic/Q receipt:t | third -> 1
a SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
a UNSUBSCRIBE id:Q persistent:true receipt:u -> 1

# a durable subscription is shared
a SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
b SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
c SEND destination:/topic/Q | one -> a1
c SEND destination:/topic/Q | two -> b1
a UNSUBSCRIBE id:Q receipt:u -> 1
b UNSUBSCRIBE id:Q durable:true receipt:u -> 1

# a durable subscription without an id
a SUBSCRIBE destination:/topic/Q durable:true receipt:r -> 1
a SUBSCRIBE destination:/topic/Q persistent:true receipt:r -> 1

# the queue of a topic has a name
a SUBSCRIBE id:1 destination:/topic/Q x-queue-name:Q.mine receipt:r -> 1
b SEND destination:/amq/queue/Q.mine | direct -> a1
b SEND destination:/topic/Q | topic -> a1
a UNSUBSCRIBE id:1 receipt:u -> 1
b SUBSCRIBE id:1 destination:/amq/queue/Q.mine receipt:r -> 2

# a queue that goes with its consumer
a SUBSCRIBE id:1 destination:/queue/Q auto-delete:true durable:false exclusive:false receipt:r -> 1
a SEND destination:/amq/queue/Q | m -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
b SUBSCRIBE id:1 destination:/amq/queue/Q receipt:r -> 2

# a queue of one connection
a SUBSCRIBE id:1 destination:/queue/Q durable:false receipt:r -> 1
b SUBSCRIBE id:1 destination:/queue/Q durable:false receipt:r -> 2

# a queue of one connection, and one who sends there
a SUBSCRIBE id:1 destination:/queue/Q persistent:false receipt:r -> 1
b SEND destination:/queue/Q | m -> 1

# SEND with persistent:false
a SEND destination:/queue/Q persistent:false receipt:r | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 2

# a queue that was declared otherwise
a SUBSCRIBE id:1 destination:/queue/Q x-max-length:10 receipt:r -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 2
c SUBSCRIBE id:1 destination:/queue/Q x-max-length:11 receipt:r -> 2
d SUBSCRIBE id:1 destination:/queue/Q x-max-length:10 auto-delete:true receipt:r -> 2
e SUBSCRIBE id:1 destination:/queue/Q x-max-length:10 receipt:r -> 1
f SEND destination:/queue/Q | m -> 1

# dead letters
d SUBSCRIBE id:1 destination:/exchange/amq.direct/Q.dead receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q x-dead-letter-exchange:amq.direct x-dead-letter-routing-key:Q.dead ack:client-individual receipt:r -> 1
b SEND destination:/amq/queue/Q k:v | m -> a1
a NACK id:{ack} requeue:false -> d1

# dead letters by the name of a queue
d SUBSCRIBE id:1 destination:/queue/Q.dead receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q x-dead-letter-exchange: x-dead-letter-routing-key:Q.dead ack:client-individual receipt:r -> 1
b SEND destination:/topic/Q receipt:r | m -> 1
b SEND destination:/amq/queue/Q expiration:60000 | m -> a1
a NACK id:{ack} requeue:false -> d1

# a message that expires
a SEND destination:/queue/Q expiration:100 receipt:r | m -> 1
a SLEEP 0.4
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1

# an argument that is no number
a SUBSCRIBE id:1 destination:/queue/Q x-max-length:ten receipt:r -> 1

# two consumers take turns
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
c SEND destination:/queue/Q | one -> a1
c SEND destination:/queue/Q | two -> b1
c SEND destination:/queue/Q | three -> a1

# a content-length and NUL
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
b RAW 'SEND\ndestination:/queue/Q\ncontent-length:3\n\na\0b\0' -> a1
b RAW 'SEND\ndestination:/queue/Q\ncontent-length:0\n\n\0' -> a1
b RAW '\0\n\0SEND\ndestination:/queue/Q\n\nhello\n\0\n' -> a1
b RAW 'SEND\r\ndestination:/queue/Q\r\n\r\nhello\0' -> a1

# a content-length without a body
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SUBSCRIBE\nid:1\ndestination:/queue/Q\ncontent-length:3\nreceipt:r\n\n\0' -> 1

# a content-length that is no number
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:x\n\nm\0'

# a content-length that is too small
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:1\n\nmmm\0'

# a body where none may be
a RAW 'CONNECT\nlogin:guest\npasscode:guest\n\n\n\0' -> 1
a RAW 'SUBSCRIBE\ndestination:/queue/Q\nreceipt:r\n\nbody\0' -> 1

# a login that is wrong
a CONNECT accept-version:1.2 host:/ login:gust passcode:guest -> 1
a CONNECT accept-version:1.2 host:/ login:guest passcode:gust -> 1
a CONNECT accept-version:1.2 host:/ login:guest -> 1

# a name of 256 octets
a SUBSCRIBE id:1 destination:/queue/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx receipt:r -> 1

# a routing key of 256 octets
a SEND destination:/topic/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx receipt:r | m -> 1

# an expiration that is no number
a SEND destination:/queue/Q expiration:soon receipt:r | m -> 1

# a queue is deleted under its consumer
a SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
b SUBSCRIBE id:Q destination:/topic/Q durable:true auto-delete:false receipt:r -> 1
b UNSUBSCRIBE id:Q durable:true receipt:u -> 1 a1
c SEND destination:/topic/Q receipt:s | m -> 1

# a client that is silent
a CONNECT accept-version:1.2 host:/ login:guest passcode:guest heart-beat:1000,0 -> 1
a SLEEP 4.5

# an empty key
a SUBSCRIBE id:1 destination:/exchange/amq.topic/ receipt:r -> 1
b SEND destination:/exchange/amq.topic receipt:s | m -> 1 a1
a SUBSCRIBE id:2 destination:/exchange/amq.fanout receipt:r -> 1
b SEND destination:/exchange/amq.fanout/key | m -> a1

# a star and no word
a SUBSCRIBE id:1 destination:/exchange/amq.topic/Q.* receipt:r -> 1
b SEND destination:/topic/Q receipt:s | m -> 1
b SEND destination:/topic/Q. receipt:s | m -> 1 a1

# a queue is declared once by each connection
a SUBSCRIBE id:1 destination:/queue/Q x-max-length:10 receipt:r -> 1
a SEND destination:/queue/Q receipt:s | m -> 2

# many messages in flight come back in their order
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
b SEND destination:/queue/Q | three -> a1
c SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> c3

# two subscriptions without an id
a SUBSCRIBE destination:/queue/Q receipt:r -> 1
a SUBSCRIBE destination:/topic/Q receipt:s -> 1
a SUBSCRIBE destination:/queue/Q receipt:t -> 1

# NACK of several, twice
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
a NACK id:{ack} receipt:k -> 3
a ACK id:{ack} receipt:k -> 1

# an exchange that is not there
a SEND destination:/exchange/none/k receipt:r | m -> 2

# the default exchange
a SEND destination:/exchange//Q receipt:r | m -> 1

# COMMIT twice
a BEGIN transaction:t receipt:1 -> 1
a SEND destination:/queue/Q transaction:t receipt:2 | m
a COMMIT transaction:t receipt:3 -> 2
a COMMIT transaction:t receipt:4 -> 1

# an auto-delete queue with messages in flight
a SUBSCRIBE id:1 destination:/queue/Q ack:client durable:false auto-delete:true exclusive:false receipt:r -> 1
a SEND destination:/queue/Q durable:false auto-delete:true exclusive:false | m -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
a SEND destination:/queue/Q durable:false auto-delete:true exclusive:false receipt:s | next -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:auto durable:false auto-delete:true exclusive:false receipt:t -> 1

# headers that come twice
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nx:1\nx:2\nreceipt:s\nreceipt:t\npriority:5\n\nm\0' -> 1 b1

# empty headers
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q x: type: correlation-id: receipt:s | m -> 1 b1

# an empty receipt
a SEND destination:/queue/Q receipt: | m -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt: -> 1

# a frame of a broker
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'MESSAGE\ndestination:/queue/Q\nreceipt:x\n\n\0' -> 1

# a transaction at the end of a connection
a BEGIN transaction:t receipt:1 -> 1
a SEND destination:/queue/Q transaction:t | m
a DISCONNECT receipt:2 -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1

# a prefetch count below zero
a SUBSCRIBE id:1 destination:/queue/Q ack:client prefetch-count:-1 receipt:r -> 1
b SEND destination:/queue/Q receipt:1 | one -> 1
b SEND destination:/queue/Q receipt:2 | two -> 1
b SEND destination:/queue/Q receipt:3 | three -> 1

# many dead letters keep their order
d SUBSCRIBE id:1 destination:/queue/Q.dead receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client x-dead-letter-exchange: x-dead-letter-routing-key:Q.dead receipt:r -> 1
b SEND destination:/queue/Q x-dead-letter-exchange: x-dead-letter-routing-key:Q.dead | one -> a1
b SEND destination:/queue/Q | two -> a1
b SEND destination:/queue/Q | three -> a1
a NACK id:{ack} requeue:false receipt:k -> 1 d3

# ACK for an earlier message in client mode
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
a ACK id:T_1@@x@@1 receipt:k -> 1
b SEND destination:/queue/Q | two -> a1
a ACK id:T_1@@x@@2 receipt:k -> 1
a ACK id:T_1@@x@@one receipt:k -> 1

# spaces around a header of STOMP 1.0
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE 'destination: /queue/Q' receipt:s -> 1
a SEND 'destination: /queue/Q' 'x:  1' | m -> 1
""",
    differs={
        "dead letters": {"rabbitmq-4": "has x-last-death-exchange, -queue and -reason, too"},
        "dead letters by the name of a queue": {"rabbitmq-4": "the same"},
        "many dead letters keep their order": {"rabbitmq-4": "the same"},
        "a login that is wrong": {"rabbitmq-4": "the text has no line feed at its end"},
    },
)

#: What ActiveMQ and Artemis are both asked.
JMS = r"""
# connected
a CONNECT accept-version:1.0,1.1,1.2 host:/ login:guest passcode:guest heart-beat:1500,2600 -> 1

# connected without a version
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q receipt:s -> 1
a SEND destination:/queue/Q | m -> 1

# a short heart-beat
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest heart-beat:10,20 -> 1

# a heart-beat that is no number
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest heart-beat:a,b -> 1

# no version in common
a CONNECT accept-version:100.1 host:/ login:guest passcode:guest -> 1

# a virtual host that is not there
a CONNECT accept-version:1.1 host:// login:guest passcode:guest -> 1

# an unknown command
a WRONG destination:a receipt:r -> 1

# an unknown command with a body
a WRONG x:y | body -> 1

# an unknown command before CONNECT
a RAW 'WRONG\nx:y\nreceipt:r\n\n\0'

# CONNECT twice
a CONNECT accept-version:1.2 host:/ login:guest passcode:guest -> 1
a CONNECT accept-version:1.2 host:/ login:guest passcode:guest -> 1

# a header without a colon
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nnothing\n\nm\0'

# DISCONNECT with a receipt
a DISCONNECT receipt:bye -> 1

# SEND without a destination
a SEND receipt:r | m -> 1

# SUBSCRIBE without a destination
a SUBSCRIBE id:1 receipt:s -> 1

# SUBSCRIBE without an id
a SUBSCRIBE destination:/queue/Q receipt:s -> 1

# a MESSAGE
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q x:1 y:2 content-type:text/plain correlation-id:c priority:5 persistent:true type:t custom:z | m -> 1
a SEND destination:/queue/Q -> 1
a SEND destination:/queue/Q content-length:1 | m -> 1

# headers of the broker's that a sender gives
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q message-id:mine subscription:mine ack:mine redelivered:mine receipt:r x:y | m -> 2

# a header twice
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q x:1 x:2 | m -> 1

# a receipt for each frame
a SEND destination:/queue/Q receipt:1 | m -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:2 -> 2
a UNSUBSCRIBE id:1 receipt:3 -> 1
a BEGIN transaction:t receipt:4 -> 1
a COMMIT transaction:t receipt:5 -> 1
a BEGIN transaction:t receipt:6 -> 1
a ABORT transaction:t receipt:7 -> 1

# UNSUBSCRIBE of nothing
a UNSUBSCRIBE id:9 receipt:u -> 1

# UNSUBSCRIBE without an id
a UNSUBSCRIBE receipt:u -> 1

# an id that is in use
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:s -> 1

# an ack mode that does not exist
a SUBSCRIBE id:1 destination:/queue/Q ack:never receipt:r -> 1

# COMMIT without a transaction
a COMMIT receipt:1 -> 1

# ABORT without a transaction
a ABORT receipt:1 -> 1

# ABORT of a transaction that is not open
a ABORT transaction:t receipt:1 -> 1

# NACK without an id
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a NACK receipt:k -> 1

# ACK of 1.1 without a subscription
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK message-id:{message-id} receipt:k -> 1

# ACK of 1.1 after UNSUBSCRIBE
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
a ACK message-id:{message-id} subscription:1 receipt:k -> 1

# ACK of 1.2 after UNSUBSCRIBE
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
a ACK id:{ack} receipt:k -> 1

# ACK of 1.0
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q | two -> 1
a ACK message-id:{message-id} receipt:k -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# ACK in client mode is for all before it
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q | two -> 1
a SEND destination:/queue/Q | three -> 1
a ACK id:{ack} receipt:k -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# ACK without an id
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a ACK receipt:k -> 1

# ACK of an unknown message
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a ACK id:what receipt:k -> 1

# ACK twice
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK id:{ack} receipt:k -> 1
a ACK id:{ack} receipt:l -> 1

# ACK of 1.1 with a foreign subscription
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a ACK message-id:{message-id} subscription:other receipt:k -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> b1

# unacknowledged messages after UNSUBSCRIBE
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1 b1

# redelivered
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a CLOSE -> b1

# NACK
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a NACK id:{ack} receipt:k -> 1

# NACK in STOMP 1.0
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q ack:client-individual receipt:s -> 1
a SEND destination:/queue/Q | m -> 1
a NACK message-id:1 receipt:k -> 1

# a topic
a SUBSCRIBE id:1 destination:/topic/Q.news receipt:r -> 1
b SUBSCRIBE id:1 destination:/topic/Q.news receipt:r -> 1
c SEND destination:/topic/Q.news | m -> a1 b1
c SEND destination:/topic/Q.other receipt:r | m -> 1

# a transaction
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t receipt:b -> 1
a SEND destination:/queue/Q transaction:t receipt:1 | one -> 1
a SEND destination:/queue/Q receipt:2 | two -> 2
a COMMIT transaction:t receipt:c -> 2

# ABORT
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t
a SEND destination:/queue/Q transaction:t receipt:1 | one -> 1
a ABORT transaction:t receipt:c -> 1
a SEND destination:/queue/Q | two -> 1

# SEND in a transaction that is not open
a SEND destination:/queue/Q transaction:t receipt:1 | one -> 1

# COMMIT of a transaction that is not open
a COMMIT transaction:t receipt:1 -> 1

# BEGIN without a transaction
a BEGIN receipt:1 -> 1

# BEGIN twice
a BEGIN transaction:t receipt:1 -> 1
a BEGIN transaction:t receipt:2 -> 1

# NACK in a transaction
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a BEGIN transaction:t
a NACK id:{ack} transaction:t receipt:k -> 1

# a message that expires
a SEND destination:/queue/Q expires:1000 receipt:r | m -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1

# two consumers take turns
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
c SEND destination:/queue/Q | one -> a1
c SEND destination:/queue/Q | two -> b1
c SEND destination:/queue/Q | three -> a1

# UNSUBSCRIBE by the destination of a subscription with an id
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q receipt:s -> 1
a UNSUBSCRIBE destination:/queue/Q receipt:u -> 1
b SEND destination:/queue/Q receipt:s | m -> 1

# two subscriptions to one destination in STOMP 1.0
a CONNECT login:guest passcode:guest -> 1
a SUBSCRIBE destination:/queue/Q receipt:s -> 1
a SUBSCRIBE destination:/queue/Q receipt:t -> 1
a SUBSCRIBE destination:/topic/Q receipt:u -> 1
a UNSUBSCRIBE destination:/queue/Q receipt:v -> 1
a UNSUBSCRIBE destination:/queue/Q receipt:w -> 1

# DISCONNECT in a transaction
a BEGIN transaction:t
a SEND destination:/queue/Q transaction:t | m
a DISCONNECT receipt:bye -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1

# two transactions
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a BEGIN transaction:t receipt:1 -> 1
a BEGIN transaction:u receipt:2 -> 1
a SEND destination:/queue/Q transaction:t | one
a SEND destination:/queue/Q transaction:u | two
a COMMIT transaction:u receipt:3 -> 1 b1
a COMMIT transaction:t receipt:4 -> 1 b1
a COMMIT transaction:t receipt:5 -> 1

# headers that come twice
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nx:1\nx:2\nreceipt:s\nreceipt:t\n\nm\0' -> 1 b1

# a priority that is no number
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q priority:high receipt:s | m -> 1
a SEND destination:/queue/Q priority:12 receipt:s | m -> 1 b1

# expires that is no number
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q expires:soon receipt:s | m -> 1

# a persistent that is neither
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q persistent:TRUE receipt:s | m -> 1 b1
a SEND destination:/queue/Q persistent:false receipt:s | m -> 1 b1

# cumulative ACK in 1.1
a CONNECT accept-version:1.1 host:/ login:guest passcode:guest -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
b SEND destination:/queue/Q | three -> a1
a ACK subscription:1 message-id:{message-id} receipt:k -> 1
a ACK subscription:1 message-id:{message-id} receipt:k -> 1
c SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# ACK of the second of three
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
a ACK id:{ack} receipt:k -> 1
b SEND destination:/queue/Q | three -> a1
c SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> c1

# two subscriptions of a connection share a queue
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:2 destination:/queue/Q receipt:s -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1

# empty headers
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q x: type: correlation-id: receipt:s | m -> 1 b1

# an empty receipt
a SEND destination:/queue/Q receipt: | m -> 1

# a content-type and escapes
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q content-type:text/plain 'x:a:b\\c' receipt:s | m -> 1 b1

# a topic without subscribers
a SEND destination:/topic/Q receipt:s | m -> 1
a SUBSCRIBE id:1 destination:/topic/Q receipt:r -> 1

# STOMP for CONNECT
a STOMP accept-version:1.2 host:/ login:guest passcode:guest -> 1
a SEND destination:/queue/Q receipt:s | m -> 1

# a selector of JMS headers
a SUBSCRIBE id:1 destination:/queue/Q "selector:JMSCorrelationID = '1' AND JMSType = 't'" receipt:r -> 1
b SEND destination:/queue/Q correlation-id:1 type:t | one -> a1
b SEND destination:/queue/Q correlation-id:2 type:t receipt:r | two -> 1
b SEND destination:/queue/Q correlation-id:1 type:t | three -> a1

# a selector
a SUBSCRIBE id:1 destination:/queue/Q "selector:x = '1'" receipt:r -> 1
b SEND destination:/queue/Q x:1 | one -> a1
b SEND destination:/queue/Q x:2 receipt:r | two -> 1
b SEND destination:/queue/Q x:1 | three -> a1

# a content-length and NUL
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
b RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
b RAW 'SEND\ndestination:/queue/Q\ncontent-length:3\n\na\0b\0' -> a1
b RAW 'SEND\ndestination:/queue/Q\ncontent-length:0\n\n\0' -> a1
b RAW '\n\nSEND\ndestination:/queue/Q\n\nhello\n\0\n' -> a1
b RAW 'SEND\r\ndestination:/queue/Q\r\n\r\nhello\0' -> a1

# a content-length that is too small
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:1\n\nmmm\0'
"""

ACTIVEMQ = scenarios(
    JMS
    + r"""
# a temporary queue
w SUBSCRIBE id:w destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:t destination:/temp-queue/foo receipt:r -> 1
a SEND destination:/queue/Q reply-to:/temp-queue/foo | q -> w1
w SEND destination:{reply-to} | reply -> a1
a SEND destination:/queue/Q reply-to:/queue/Q.replies | q -> w1

# a reply to a temporary queue whose owner is gone
w SUBSCRIBE id:w destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:t destination:/temp-queue/foo receipt:r -> 1
a SEND destination:/queue/Q reply-to:/temp-queue/foo | q -> w1
a CLOSE
w SLEEP 0.3
w SEND destination:{reply-to} receipt:gone | reply -> 1
w SEND destination:/queue/Q | again -> 1

# prefetch
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual activemq.prefetchSize:2 receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q | two -> a1
b SEND destination:/queue/Q receipt:r | three -> 1
a ACK id:{ack} -> 1

# a browser
b SEND destination:/queue/Q receipt:r | one -> 1
a SUBSCRIBE id:1 destination:/queue/Q browser:true receipt:r -> 3

# a name without a prefix
a SUBSCRIBE id:1 destination:Q receipt:r -> 1
a SEND destination:/queue/Q | m -> 1

# an empty name
a SEND destination:/queue/ receipt:r | m

# an empty name of a topic
a SUBSCRIBE id:1 destination:/topic/ receipt:r

# dead letters of NACK
a SUBSCRIBE id:d destination:/queue/DLQ.Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q who:Q persistent:true | m -> 1
a NACK id:{ack} receipt:k -> 2

# ACK in a transaction
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a BEGIN transaction:t
a ACK id:{ack} transaction:t receipt:k -> 1
a ABORT transaction:t receipt:c -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> b1

# not connected
a RAW 'SEND\ndestination:/queue/Q\n\nm\0' -> 1

# what an unknown ack mode means
a SUBSCRIBE id:1 destination:/queue/Q ack:never receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# two subscriptions of one id
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q.other receipt:s -> 1
a SEND destination:/queue/Q | one -> 1
a SEND destination:/queue/Q.other | two -> 1
a UNSUBSCRIBE id:1 receipt:u -> 1
a SEND destination:/queue/Q receipt:1 | three -> 2
a SEND destination:/queue/Q.other receipt:2 | four -> 1

# a content-length that is no number
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:x\n\nm\0' -> 1

# NACK of a message that is not persistent
a SUBSCRIBE id:d destination:/queue/DLQ.Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
a NACK id:{ack} receipt:k -> 2

# NACK of several
a SUBSCRIBE id:d destination:/queue/DLQ.Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client receipt:r -> 1
a SEND destination:/queue/Q persistent:true | one -> 1
a SEND destination:/queue/Q persistent:true | two -> 1
a NACK id:{ack} receipt:k -> 2
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> b1

# NACK of a message of a topic
a SUBSCRIBE id:d destination:/queue/DLQ.Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/topic/Q ack:client-individual receipt:r -> 1
a SEND destination:/topic/Q persistent:true | m -> 1
a NACK id:{ack} receipt:k -> 1
a SEND destination:/topic/Q | next -> 1

# NACK of a message with a time to live
a SUBSCRIBE id:d destination:/queue/DLQ.Q receipt:r -> 1
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q persistent:true expires:4102444800000 | m -> 1
a NACK id:{ack} receipt:k -> 2

# an octet behind a content-length that is too small
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:1\n\nmm\0' -> b1
a SLEEP 0.3
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nnext\0' -> 1 b1

# what a header without a colon leaves
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nnothing\nx:1\n\nmmm\0' -> b1
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nnext\0' -> 1 b1
""",
    differs={
        "CONNECT twice": {"activemq-6": "says so in another way, and ends the connection"},
        "not connected": {"activemq-6": "the same"},
        "an unknown command before CONNECT": {"activemq-6": "the same"},
        "NACK in a transaction": {"activemq-6": "the exception is one of jakarta.jms"},
    },
)

ARTEMIS = scenarios(
    JMS
    + r"""
# there are no temporary queues
w SUBSCRIBE id:w destination:/queue/Q receipt:r -> 1
a SUBSCRIBE id:t destination:/temp-queue/Q.r subscription-type:ANYCAST receipt:r -> 1
a SEND destination:/queue/Q reply-to:/temp-queue/Q.r | q -> w1
w SEND destination:{reply-to} destination-type:ANYCAST | reply -> a1

# prefetch in octets
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual consumer-window-size:1 receipt:r -> 1
b SEND destination:/queue/Q | one -> a1
b SEND destination:/queue/Q receipt:r | two -> 1
a ACK id:{ack} -> 1

# a window of one KiB
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual consumer-window-size:1024 receipt:r -> 1
b SEND destination:/queue/Q receipt:1 | one -> 1 a1
b SEND destination:/queue/Q receipt:2 | two -> 1 a1
b SEND destination:/queue/Q receipt:3 | three -> 1 a1
b SEND destination:/queue/Q receipt:4 | four -> 1 a1
b SEND destination:/queue/Q receipt:5 | five -> 1 a1
b SEND destination:/queue/Q receipt:6 | six -> 1

# destination-type
a SUBSCRIBE id:1 destination:/queue/Q subscription-type:ANYCAST receipt:r -> 1
a SEND destination:/queue/Q destination-type:ANYCAST | m -> 1

# a name without a prefix is a topic's
a SUBSCRIBE id:1 destination:Q receipt:r -> 1
b SUBSCRIBE id:1 destination:Q receipt:r -> 1
c SEND destination:Q receipt:s | m -> 1 a1 b1

# a name without a prefix, and the type
a SUBSCRIBE id:1 destination:Q subscription-type:ANYCAST receipt:r -> 1
b SEND destination:Q destination-type:ANYCAST receipt:s | one -> 1 a1
b SEND destination:/queue/Q receipt:s | two -> 1 a1
c SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a DISCONNECT receipt:bye -> 1
b SEND destination:Q destination-type:ANYCAST receipt:s | three -> 1 c1

# what an unknown ack mode means
a SUBSCRIBE id:1 destination:/queue/Q ack:never receipt:r -> 1
a SEND destination:/queue/Q | m -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE -> b1

# SEND in a transaction that is not open, and COMMIT
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q transaction:t receipt:1 | one -> 1
a COMMIT transaction:t receipt:2 -> 1

# what is not a property
a SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a SEND destination:/queue/Q timestamp:17 selector:s login:l passcode:p JMSXUserID:u JMSXGroupID:g browser:b receipt-id:i x-y:z persistent:no | m -> 1

# ACK in a transaction
a SUBSCRIBE id:1 destination:/queue/Q ack:client-individual receipt:r -> 1
a SEND destination:/queue/Q | one -> 1
a BEGIN transaction:t
a ACK id:{ack} transaction:t receipt:k -> 1
a ABORT transaction:t receipt:c -> 1
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a CLOSE

# an escape that does not exist
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nx:\\t\n\nm\0' -> 1

# not connected
a RAW 'SEND\ndestination:/queue/Q\n\nm\0'

# a receipt is asked for before CONNECT
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nm\0'
a RAW 'DISCONNECT\nreceipt:d\n\n\0'

# CONNECT behind another frame
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nm\0'
a SLEEP 0.3
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1

# CONNECT behind DISCONNECT
a RAW 'DISCONNECT\nreceipt:r\n\n\0'
a SLEEP 0.3
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1

# octets behind a content-length that is too small
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\ncontent-length:1\n\nmmm\0' -> b1
a SLEEP 0.3
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nnext\0' -> 1 b1

# what a header without a colon leaves
b SUBSCRIBE id:1 destination:/queue/Q receipt:r -> 1
a RAW 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0' -> 1
a RAW 'SEND\ndestination:/queue/Q\nnothing\nx:1\n\nmmm\0' -> b1
a RAW 'SEND\ndestination:/queue/Q\nreceipt:r\n\nnext\0' -> 1 b1
""",
    ordered=True,
)
