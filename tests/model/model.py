"""A model of tlsmsg/1 (tlsmsg(7)): clients, servers, a store, and everything that may go wrong.

Nothing here is timed. The world is a set of small steps, each of which may be next: a frame is
taken from a connection, a batch is inserted, becomes durable, is answered; a connection is cut, a
server or a client is killed, a machine loses power, the store's old backup comes back. A schedule
picks among the steps at random; afterwards the failures stop, all goes on until nothing is left to
do, and what every client was told is held against what the store has.

A mutant is one rule left out: the model has to notice each.
"""

import collections
import random

MUTANTS = (
    "ok-before-commit",  # a reply leaves before the batch is inserted
    "no-key",  # the store takes a number twice
    "key-without-hash",  # ... and answers OK whatever the bytes are
    "number-twice",  # a client forgets which numbers it has given
    "spool-not-synced",  # a client says "kept" before its disk has it
    "dropped-at-send",  # a client forgets a message when it is sent
    "duplicate-not-durable",  # a batch of duplicates alone is answered without a sync
)


class Violation(Exception):
    """A promise was broken."""


Message = collections.namedtuple("Message", "uid")  # the bytes; equal only to themselves


class Row:
    def __init__(self, producer, seq, message):
        self.producer, self.seq, self.message = producer, seq, message
        self.durable = False


class Store:
    """Rows that are visible at once and durable after a sync. All servers share it."""

    def __init__(self, mutants):
        self.mutants = mutants
        self.rows = []
        self.backup = None

    def find(self, producer, seq):
        return next((r for r in self.rows if (r.producer, r.seq) == (producer, seq)), None)

    def last(self, producer):
        return max((r.seq for r in self.rows if r.producer == producer), default=0)

    def take(self, producer, seq, message):
        """Inserts or compares: "taken", "same", "other"."""
        row = None if "no-key" in self.mutants else self.find(producer, seq)
        if row is None:
            self.rows.append(Row(producer, seq, message))
            return "taken"
        if row.message == message or "key-without-hash" in self.mutants:
            return "same"
        return "other"

    def sync(self):
        for row in self.rows:
            row.durable = True

    def lose_power(self, rng):
        """What was not synced is gone, all of it or from some row on: a log ends somewhere."""
        unsynced = [r for r in self.rows if not r.durable]
        kept = set(unsynced[: rng.randint(0, len(unsynced))])
        self.rows = [r for r in self.rows if r.durable or r in kept]
        self.sync()  # recovery makes durable what it found, before a server listens

    def restore(self):
        self.rows = [Row(*row) for row in self.backup]
        self.sync()


class Connection:
    """Two directions, each in order; a cut takes what is still on its way, at its end."""

    def __init__(self, client, server, number):
        self.client, self.server, self.number = client, server, number
        self.up, self.down = collections.deque(), collections.deque()
        self.client_sees = self.server_sees = True  # the connection, as still being there
        self.producer = None
        self.first = True
        self.start = self.expected = self.highest_first = 0
        self.first_decided = None
        self.refused = False


class Server:
    """Decides in the order of arrival: what waits, what a batch holds, what is to be said."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.kill()

    def kill(self):
        self.waiting = []  # ("hello" or "msg", connection, number, message)
        self.batch = []
        self.answers = []
        self.phase = "idle"
        self.owners = {}
        for conn in self.world.connections:
            if conn.server is self:
                conn.server_sees = False

    def say(self, conn, *frame):
        if conn.server_sees:
            conn.down.append(frame)

    def bye(self, conn, code):
        self.say(conn, "bye", code)
        conn.server_sees = False

    def receive(self, conn):
        kind, *rest = conn.up.popleft()
        if kind == "hello":
            producer, start = rest
            older = self.owners.get(producer)
            if older is not None and older.number > conn.number:
                # A connection that its client has left and that was read late takes over nothing.
                self.bye(conn, 409)
                return
            if older is not None:
                self.bye(older, 409)
            self.owners[producer] = conn
            conn.producer, conn.start = producer, start
            # Behind all that came before it, so its answer includes what the older one brought.
            self.waiting.append(("hello", conn, start, None))
            return
        number, message = rest
        if not conn.first and number != conn.expected:
            self.bye(conn, 400)
            return
        conn.first = False
        conn.expected = number + 1
        if "ok-before-commit" in self.world.mutants:
            self.say(conn, "ok", number)
        self.waiting.append(("msg", conn, number, message))

    def step(self):
        """Insert, sync, answer: between any two of them the world may end."""
        store, mutants = self.world.store, self.world.mutants
        if self.phase == "idle":
            self.batch, self.waiting = self.waiting, []
            self.answers = []
            news = False
            for kind, conn, number, message in self.batch:
                if conn.refused:
                    continue  # nothing later of that conversation is taken
                if kind == "hello":
                    last = store.last(conn.producer)
                    conn.highest_first = max(number, last + 1)
                    if number > last + 1:
                        self.world.set_back_told.add(conn.producer)
                    self.answers.append((conn, "hello", last))
                    continue
                if conn.first_decided is None:
                    conn.first_decided = number
                    if not conn.start <= number <= conn.highest_first:
                        conn.refused = True
                        self.answers.append((conn, "bye", 400))
                        continue
                verdict = store.take(conn.producer, number, message)
                if verdict == "other":
                    conn.refused = True
                    self.answers.append((conn, "bye", 412))
                    continue
                news = news or verdict == "taken"
                if "ok-before-commit" not in mutants:
                    self.answers.append((conn, "ok", number))
            # Also a batch that brings nothing new waits: what it met may not be durable yet.
            unsafe = not news and "duplicate-not-durable" in mutants
            self.phase = "durable" if unsafe else "inserted"
        elif self.phase == "inserted":
            store.sync()
            self.phase = "durable"
        else:
            for conn, kind, value in self.answers:
                if kind == "bye":
                    self.bye(conn, value)
                else:
                    self.say(conn, kind, value)
            self.phase = "idle"

    def busy(self):
        return self.phase != "idle" or bool(self.waiting)


class Client:
    """A program with a spool: a message is numbered and kept, sent, answered, and then let go."""

    WINDOW = 3

    def __init__(self, world, name, producer, count):
        self.world, self.name, self.producer = world, name, producer
        self.input = [Message(f"{name}-{i}") for i in range(count)]
        self.spool = collections.OrderedDict()  # number -> message
        self.next = 1
        self.disk = (dict(), 1, 0)  # spool, next number, messages of the input that are kept
        self.old_disk = None
        self.kept = 0  # of the input
        self.stopped = None
        self.answered = []
        self.forget()

    def forget(self):
        self.conn = None
        self.ready = False
        self.sent = 0  # the highest number sent on this connection

    def write_disk(self):
        self.disk = (dict(self.spool), self.next, self.kept)

    def kill(self):
        if self.conn is not None:
            self.conn.client_sees = False
        spool, self.next, self.kept = self.disk
        self.spool = collections.OrderedDict(sorted(spool.items()))
        if "number-twice" in self.world.mutants:
            self.next = max(self.spool, default=0) + 1
        if "spool-not-synced" in self.world.mutants:
            self.kept = self.told_kept()
        self.forget()

    def told_kept(self):
        return max([self.kept] + [self.input.index(m) + 1 for m in self.world.kept[self.name]])

    def keep(self):
        message = self.input[self.kept]
        self.spool[self.next] = message
        self.next += 1
        self.kept += 1
        if "spool-not-synced" not in self.world.mutants:
            self.write_disk()
        self.world.kept[self.name].append(message)

    def connect(self, server):
        self.conn = Connection(self, server, len(self.world.connections))
        self.world.connections.append(self.conn)
        self.ready, self.sent = False, 0
        self.conn.up.append(("hello", self.producer, min(self.spool, default=self.next)))

    def can_send(self):
        if not self.ready or self.conn is None:
            return False
        open_numbers = [n for n in self.spool if n <= self.sent]
        return any(n > self.sent for n in self.spool) and len(open_numbers) < self.WINDOW

    def send(self):
        number = min(n for n in self.spool if n > self.sent)
        message = self.spool[number]
        self.conn.up.append(("msg", number, message))
        self.sent = number
        if "dropped-at-send" in self.world.mutants:
            del self.spool[number]
            self.write_disk()

    def receive(self):
        kind, value = self.conn.down.popleft()
        if kind == "hello":
            if value >= self.next:
                self.stopped = "name used elsewhere, or an old spool"
            self.ready = True
            # Message `last` itself goes first, so that its bytes are compared; what is below it was
            # taken, and the OK for it says so.
            self.sent = max(value, min(self.spool, default=1)) - 1
        elif kind == "ok":
            # It speaks for all below it as well.
            for number in [n for n in self.spool if n <= value]:
                self.answered.append(self.spool.pop(number))
            self.write_disk()
        elif value in (400, 409, 412):
            self.stopped = f"BYE {value}"
        else:
            self.lose()

    def lose(self):
        if self.conn is not None:
            self.conn.client_sees = False
        self.forget()


class World:
    def __init__(self, seed, mutants=(), servers=1, clients=2, shared_name=False, set_back=False,
                 old_backup=False, messages=6):
        self.rng = random.Random(seed)
        self.mutants = frozenset(mutants)
        self.store = Store(self.mutants)
        self.connections = []
        self.set_back_told = set()
        self.set_back, self.old_backup = set_back, old_backup
        self.restored = False
        self.kept = collections.defaultdict(list)
        self.servers = [Server(self, f"s{i}") for i in range(servers)]
        self.clients = [Client(self, f"c{i}", "p" if shared_name else f"p{i}", messages)
                        for i in range(clients)]
        self.may_stop = set()
        if shared_name:
            self.may_stop.update(self.clients)

    # The steps that may be next, without and with failures.

    def progress(self):
        steps = []
        for server in self.servers:
            if server.busy():
                steps.append(server.step)
        for conn in self.connections:
            if conn.up and conn.server_sees:
                # What had arrived is decided also where the client is gone: a zombie.
                steps.append(lambda c=conn: c.server.receive(c))
        for client in self.clients:
            if client.stopped:
                continue
            if client.kept < len(client.input):
                steps.append(client.keep)
            if client.conn is None:
                if client.spool or client.kept < len(client.input):
                    steps.append(lambda c=client: c.connect(self.rng.choice(self.servers)))
                continue
            if client.conn.down:
                steps.append(client.receive)
            elif not client.conn.server_sees:
                steps.append(client.lose)
            if client.can_send():
                steps.append(client.send)
        return steps

    def failures(self):
        rng = self.rng
        steps = [lambda: rng.choice(self.servers).kill(), self.lose_power,
                 lambda: rng.choice(self.clients).kill()]
        live = [c for c in self.connections if c.client_sees and c.server_sees]
        if live:
            steps += [lambda: self.cut(rng.choice(live)), lambda: rng.choice(live).client.lose()]
        if self.set_back:
            steps.append(self.set_a_spool_back)
        if self.old_backup and not self.restored:
            steps.append(self.put_backup_back)
        return steps

    def cut(self, conn):
        for way in (conn.up, conn.down):
            for _ in range(self.rng.randint(0, len(way))):
                way.pop()
        conn.server_sees = bool(conn.up) and self.rng.random() < 0.5
        conn.client.lose()

    def lose_power(self):
        """The store's machine: every server loses its memory with it, the rows their tail."""
        for server in self.servers:
            server.kill()
        self.store.lose_power(self.rng)

    def set_a_spool_back(self):
        client = self.rng.choice(self.clients)
        if client.old_disk is None:
            client.old_disk = client.disk
            return
        client.disk = client.old_disk
        self.may_stop.add(client)
        client.kill()

    def put_backup_back(self):
        if self.store.backup is None:
            self.store.backup = [(r.producer, r.seq, r.message) for r in self.store.rows
                                 if r.durable]
            return
        for server in self.servers:
            server.kill()
        self.store.restore()
        self.restored = True

    def run(self, steps=220):
        trouble = self.rng.choice((0.03, 0.1, 0.25))
        for _ in range(steps):
            if self.rng.random() < trouble:
                self.rng.choice(self.failures())()
            else:
                possible = self.progress()
                if possible:
                    self.rng.choice(possible)()
        self.finish()

    def finish(self):
        """No more failures: what is left to do is done, fairly."""
        for _ in range(20000):
            possible = self.progress()
            if not possible:
                break
            self.rng.choice(possible)()
        else:
            raise Violation("it never comes to rest")
        if self.restored:
            self.greet_all()
        self.lose_power()  # the last word is the disk's
        self.check()

    def greet_all(self):
        """Each client comes once more: who lost something is told by its HELLO."""
        for client in self.clients:
            if client.stopped is None:
                client.lose()
                client.connect(self.servers[0])
        while possible := self.progress():
            possible[0]()

    def check(self):
        times = collections.Counter(row.message for row in self.store.rows)
        for client in self.clients:
            for message in client.answered:
                if times[message] == 0 and not (self.restored and self.told(client)):
                    raise Violation(f"{message.uid} was acknowledged and is lost")
            if client.stopped and client not in self.may_stop and not self.restored:
                raise Violation(f"{client.name} stopped without a reason: {client.stopped}")
            if client.stopped or self.restored or client in self.may_stop:
                continue
            for message in self.kept[client.name]:
                if times[message] == 0:
                    raise Violation(f"{message.uid} was kept and never arrived")
        for message, count in times.items():
            if count > 1:
                raise Violation(f"{message.uid} stands {count} times in the store")

    def told(self, client):
        return client.producer in self.set_back_told or client.stopped is not None
