"""A block device that remembers its writes (dm-log-writes), and the device as a power cut would have left it."""
import collections
import fcntl
import os
import struct
import subprocess

FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8      # flags of an entry
UNTORN = 8      # first sectors, with ext4's superblock, half of which ext4 does not survive


class LoggedDevice:
    """A device over the file `image`, each write of which also goes to the file `log`.

    The kernel logs a write when the device's volatile cache would have let go of it: with the next FLUSH, or at once if
    it was FUA. So what stands before a FLUSH may be lost or reordered by a power cut, and nothing else.
    """

    IOCTL = struct.Struct('=3I 2I I i I I I Q 128s 129s 7s')    # struct dm_ioctl
    CREATE, REMOVE, RESUME, LOAD, MESSAGE = 3, 4, 6, 9, 14

    def __init__(self, image, log):
        self.name = b'power-cut'
        self.control = os.open('/dev/mapper/control', os.O_RDWR)
        self.loops = [run('losetup', '--find', '--show', file).strip() for file in (image, log)]
        number = self._call(self.CREATE)
        parameters = ' '.join(self.loops).encode() + b'\0'
        target = struct.pack('=QQiI16s', 0, os.stat(image).st_size // 512, 0, 0, b'log-writes') + parameters
        self._call(self.LOAD, target, targets=1)
        self._call(self.RESUME)
        self.path = f'/dev/dm-{number & 0xff}'

    def mark(self, text):
        """Writes a mark, one word, into the log: what was done before it stands before it."""
        self._call(self.MESSAGE, struct.pack('=Q', 0) + f'mark {text}\0'.encode())

    def remove(self):
        self._call(self.REMOVE)
        run('losetup', '--detach', *self.loops)
        os.close(self.control)

    def _call(self, command, data=b'', targets=0):
        size = self.IOCTL.size + len(data)
        header = self.IOCTL.pack(4, 0, 0, size, self.IOCTL.size, targets, 0, 0, 0, 0, 0, self.name, b'', b'')
        buffer = bytearray(header + data)
        fcntl.ioctl(self.control, 3 << 30 | self.IOCTL.size << 16 | 0xfd << 8 | command, buffer)
        return self.IOCTL.unpack_from(buffer)[10]


Entry = collections.namedtuple('Entry', 'sector sectors flags text data')


def read_log(path):
    """The entries of a log: Documentation/admin-guide/device-mapper/log-writes.rst, include dm-log-writes.c."""
    with open(path, 'rb') as log:
        magic, version, count, sector_bytes = struct.unpack('<QQQI', log.read(28))
        if (magic, version, sector_bytes) != (0x6a736677736872, 1, 512):
            raise ValueError(f'{path} is no log of writes to sectors of 512 bytes')
        entries, position = [], sector_bytes
        for _ in range(count):
            log.seek(position)
            head = log.read(sector_bytes)
            sector, sectors, flags, length = struct.unpack_from('<QQQQ', head)
            text = head[32:32 + length].decode() if flags & MARK else ''
            position += sector_bytes
            data = b''
            if flags & DISCARD:
                data = bytes(sectors * sector_bytes)
            elif sectors:
                data = log.read(sectors * sector_bytes)
                position += len(data)
            entries.append(Entry(sector, sectors, flags, text, data))
        return entries


def apply(entry, image, sectors=None):
    """Writes an entry, or its first sectors, to an image."""
    if entry.data:
        os.pwrite(image, entry.data if sectors is None else entry.data[:sectors * 512], entry.sector * 512)


class Cut:
    """A power cut when the log had `position` entries, of which the disk got the first `whole` and some `others`:
    pairs of an entry's index and how many of its sectors, None for all."""

    def __init__(self, kind, position, whole, others=()):
        self.kind, self.position, self.whole, self.others = kind, position, whole, others

    def __str__(self):
        return f'cut at entry {self.position} ({self.kind})'


def group_before(entries, flush):
    """Where the entries begin of which a power cut before the FLUSH at an index may keep any."""
    begin = flush
    while begin > 0 and not entries[begin - 1].flags & FLUSH:
        begin -= 1
    return begin


def plan_cuts(entries, begin, end, count, random):
    """Cuts of entries begin..<end: after every FLUSH, FUA and mark while there is room for it, else after some of them;
    and random ones: between two entries, inside one, or with any of those that no FLUSH had made durable yet."""
    flushes = [at for at in range(begin, end) if entries[at].flags & FLUSH]
    # Before an entry without data: the same disk as after it, but fewer promises.
    edges = [at + 1 for at in range(begin, end) if entries[at].flags & (FLUSH | FUA | MARK)
             and (at + 1 == len(entries) or entries[at + 1].data)]
    chosen = edges if len(edges) <= count * 4 // 5 else random.sample(edges, count // 3)
    cuts = [Cut('edge', at, at) for at in chosen]
    while len(cuts) < count:
        kind = random.choice(['between', 'torn', 'reordered'])
        at = random.randrange(begin, end)
        if kind == 'between':
            cuts.append(Cut(kind, at, at))
        elif kind == 'torn' and entries[at].sectors > 1 and entries[at].sector >= UNTORN:
            cuts.append(Cut(kind, at, at, [(at, random.randrange(1, entries[at].sectors))]))
        elif kind == 'reordered' and flushes:
            flush = random.choice(flushes)
            group = range(group_before(entries, flush), flush)
            kept = [(at, None) for at in group if entries[at].flags & FUA or random.random() < 0.5]
            cuts.append(Cut(kind, flush, group.start, kept))
    return cuts


def run(*command):
    """Runs a program, gives its output, or raises with its error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)}: status {done.returncode}: {done.stderr.strip()}')
    return done.stdout
