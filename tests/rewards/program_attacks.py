"""Programs that try to get out of the sandbox, to outlive it, to use it up, or to pass tests that they do not solve.

`CONTAINED`: each defines `attempt()`, which says "contained" where what it tried was refused,
               and otherwise what it got hold of.
`ENDED`: each ends, or is ended, by one of the reasons beside it. `TRICKS`: none may pass the tests beside it.
"""

import platform

# A refused call of the system's raises, or returns -1: `refused` tells both. The numbers are x86-64's.
TOOLS = """
import ctypes, errno, os, resource, signal, sys
libc = ctypes.CDLL(None, use_errno=True)

def refused(action, *arguments):
    try:
        return action(*arguments) in (-1, -errno.EPERM)
    except (OSError, ValueError, MemoryError, RuntimeError):
        return True

def verdict(**attempts):
    return ", ".join(name for name, stopped in attempts.items() if not stopped) or "contained"

def call(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
"""

CONTAINED = {
    "fork": "verdict(fork=refused(os.fork), vfork=refused(libc.vfork), forkpty=refused(os.forkpty))",
    "processes": """
import subprocess, multiprocessing
return verdict(popen=refused(subprocess.Popen, [sys.executable, '-c', '']), system=os.system('true') != 0,
               spawn=refused(os.posix_spawn, sys.executable, ['x'], {}), exec=refused(os.execv, sys.executable, ['x']),
               pool=refused(lambda: multiprocessing.get_context('fork').Process(target=print).start()))""",
    "daemon": """
def daemon():
    os.setsid()
    if os.fork() == 0:
        signal.pause()
return verdict(daemon=refused(daemon), group=refused(os.setpgid, 0, 0), double=refused(os.fork))""",
    "threads": """
import threading
stop = threading.Event()
count = 0
try:
    while count < 500:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
stop.set()
return verdict(**{f'{count} threads': count <= 32})""",
    "memory": """
import mmap
def grow():
    blocks = []
    while len(blocks) < 1000:
        blocks.append(bytearray(2**24))
return verdict(heap=refused(grow), map=refused(mmap.mmap, -1, 2**40), shared=refused(mmap.mmap, -1, 2**33))""",
    "locked memory": """
return verdict(mlock=refused(libc.mlockall, 3), limit=refused(resource.setrlimit, resource.RLIMIT_MEMLOCK, (1, 1)))""",
    "disk": """
written = 0
try:
    for number in range(64):
        with open(f'/tmp/{number}', 'wb', buffering=0) as file:
            for _ in range(64):
                written += file.write(bytes(2**20))
except OSError:
    pass
return verdict(**{f'{written} bytes': written <= 2**24})""",
    "file size": """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def sparse():
    with open('/tmp/hole', 'wb') as file:
        file.truncate(2**30)
return verdict(sparse=refused(sparse))""",
    "descriptors": """
count = 0
try:
    for count in range(5000):
        os.dup(0)
except OSError:
    pass
return verdict(**{f'{count} descriptors': count < 64})""",
    "limits raised": """
import resource as r
def lift(kind):
    r.setrlimit(kind, (r.RLIM_INFINITY, r.RLIM_INFINITY))
kinds = 'AS CPU FSIZE NPROC NOFILE CORE'.split()
return verdict(**{kind: refused(lift, getattr(r, 'RLIMIT_' + kind)) for kind in kinds},
               of_others=refused(r.prlimit, 1, r.RLIMIT_CPU, (1, 1)), nice=refused(os.setpriority, os.PRIO_PROCESS, 0,
               -5))""",
    "/etc/passwd": """
files = ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/var/log', '/boot', '/sys', '/run', '/opt', '/srv')
return verdict(**{file: refused(os.stat, file) for file in files})""",
    "home": """
found = []
for folder, folders, files in os.walk(HOME):
    if any(folder.startswith(shown) for shown in READABLE):
        folders.clear()
    else:
        found += [os.path.join(folder, file) for file in files if os.path.join(folder, file) not in READABLE]
return verdict(**{'the home has ' + ', '.join(found): not found})""",
    "the machine's processes": """
files = ('/proc', '/proc/1/environ', '/proc/self/mem', '/proc/self/maps', '/proc/kallsyms')
return verdict(**{file: refused(os.stat, file) or file == '/proc' and not os.listdir('/proc') for file in files},
               environment='WITNESS' not in os.environ and 'SECRET' not in str(os.environ))""",
    "the repository": """
import importlib
def imported():
    return importlib.import_module('burnish.rewards.sql')
try:
    imported()
    found = True
except ImportError:
    found = False
return verdict(files=refused(os.listdir, REPOSITORY), witness=refused(open, WITNESS), imported=not found)""",
    "other packages": """
import glob
found = [name for path in READABLE for name in glob.glob(path + '/**/*-packages/*', recursive=False)]
found += [name for path in READABLE for name in glob.glob(path + '/python3*/*-packages/*')]
return verdict(**{'sees ' + ', '.join(found[:3]): not found})""",
    "devices": """
found = [name for name in os.listdir('/dev') if name != 'null'] if os.path.isdir('/dev') else []
return verdict(**{'sees ' + ', '.join(found): not found}, mknod=refused(os.mknod, '/tmp/sda', 0o660 | 0o060000,
               0x800))""",
    "writing outside": """
return verdict(root=refused(os.mkdir, '/x'), file=refused(open, '/x', 'w'), witness=refused(open, WITNESS, 'w'),
               library=refused(open, os.__file__, 'a'), interpreter=refused(open, sys.executable, 'ab'),
               remove=refused(os.unlink, os.__file__), rename=refused(os.rename, os.__file__, '/tmp/os.py'),
               beside=refused(open, os.path.dirname(os.__file__) + '/evil.py', 'w'), device=refused(os.mkdir,
               '/dev/x'))""",
    "links": """
return verdict(symlink=refused(os.symlink, '/etc', '/tmp/etc'), hard=refused(os.link, sys.executable, '/tmp/python'),
               hard_own=refused(os.link, os.__file__, '/tmp/os'))""",
    "special files": """
return verdict(fifo=refused(os.mkfifo, '/tmp/fifo'), device=refused(os.mknod, '/tmp/null', 0o020666, 0x103),
               unix=refused(os.mknod, '/tmp/socket', 0o140666))""",
    "setuid": """
open('/tmp/x', 'w').close()
try:
    os.chmod('/tmp/x', 0o6777)
except OSError:
    pass
return verdict(uid=refused(os.setuid, 0), gid=refused(os.setgid, 0), groups=refused(os.setgroups, [0]),
               owner=refused(os.chown, '/tmp/x', 0, 0), run=refused(os.execv, '/tmp/x', ['x']),
               root=os.getuid() != 0)""",
    "sockets": """
import socket
kinds = (1, 2, 3, 5)
open_ = [(family, kind) for family in range(64) for kind in kinds if not refused(call, 41, family, kind, 0)]
return verdict(**{f'sockets {open_[:5]}': not open_}, inet=refused(socket.socket), inet6=refused(socket.socket, 10),
               unix=refused(socket.socket, 1), netlink=refused(socket.socket, 16, 3), packet=refused(socket.socket,
               17, 3),
               vsock=refused(socket.socket, 40), pair=refused(socket.socketpair),
               connect=refused(socket.create_connection, ('127.0.0.1', 22), 0.1))""",
    "names": "verdict(dns=refused(__import__('socket').getaddrinfo, 'example.org', 80))",
    "sending on what is open": """
fields = ctypes.create_string_buffer(64)
return verdict(**{f'{name} {fd}': refused(call, number, fd, fields, 0, 0, 0, 0) for fd in range(8)
                  for name, number in (('sendto', 44), ('sendmsg', 46), ('recvmsg', 47), ('accept', 43), ('bind',
               49))})""",
    "ptrace": """
return verdict(attach=refused(call, 101, 16, 1, 0, 0), seize=refused(call, 101, 0x4206, 1, 0, 0),
               parent=refused(call, 101, 16, os.getppid(), 0, 0), me=refused(call, 101, 0, 0, 0, 0))""",
    "kill": """
pids = {0, 1, -1, os.getppid(), *range(2, 64)} - {os.getpid()}
alive = [pid for pid in pids for number in (0, 2, 9, 19) if not refused(os.kill, pid, number)]
return verdict(**{f'signals {alive}': not alive}, group=refused(os.killpg, 0, 9),
               thread=refused(call, 234, 1, 1, 9), tkill=refused(call, 200, 1, 9), queue=refused(call, 129, 1, 9, 0),
               pidfd=refused(call, 424, 3, 9, 0, 0))""",
    "memory of others": """
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
own = ctypes.create_string_buffer(8)
part = ctypes.byref(Part(ctypes.addressof(own), 8))
return verdict(**{f'{name} {pid}': refused(call, number, pid, part, 1, part, 1, 0) for pid in (1, os.getppid(),
               os.getpid())
                  for name, number in (('read', 310), ('write', 311))},
               pidfd=refused(call, 434, 1, 0), getfd=refused(call, 438, 3, 0, 0), kcmp=refused(call, 312, 1,
               os.getpid(), 0, 0, 0),
               madvise=refused(call, 440, 3, part, 1, 0, 0), numa=refused(call, 279, 1, 1, 0, 0, 0, 0))""",
    "io_uring": """
parameters = ctypes.create_string_buffer(256)
return verdict(setup=refused(call, 425, 8, parameters), enter=refused(call, 426, 3, 1, 0, 0, 0, 0),
               register=refused(call, 427, 3, 0, 0, 0), aio=refused(call, 206, 8, parameters))""",
    "keys": """
return verdict(add=refused(call, 248, b'user', b'name', b'secret', 6, -3), request=refused(call, 249, b'user',
               b'name', 0, -3),
               keyctl=refused(call, 250, 0, -3, 1), session=refused(call, 250, 1, 0))""",
    "namespaces": """
flags = {'user': 0x10000000, 'mount': 0x20000, 'pid': 0x20000000, 'net': 0x40000000, 'ipc': 0x8000000, 'uts': 0x4000000,
         'cgroup': 0x2000000, 'time': 0x80}
return verdict(**{name: refused(call, 272, flag) for name, flag in flags.items()},
               **{f'clone {name}': refused(call, 56, flag | 17, 0, 0, 0, 0) for name, flag in flags.items()},
               setns=refused(call, 308, 3, 0), clone3=refused(call, 435, ctypes.create_string_buffer(88), 88))""",
    "mounts": """
return verdict(mount=refused(call, 165, b'none', b'/tmp', b'tmpfs', 0, 0), umount=refused(call, 166, b'/tmp', 2),
               bind=refused(call, 165, b'/', b'/tmp', 0, 4096, 0), move=refused(call, 429, -100, b'/', -100, b'/tmp',
               0),
               fsopen=refused(call, 430, b'tmpfs', 0), tree=refused(call, 428, -100, b'/', 1), setattr=refused(call,
               442, -100, b'/', 0, 0, 0),
               pivot=refused(call, 155, b'/', b'/tmp'), chroot=refused(os.chroot, '/tmp'), handle=refused(call, 304,
               -100, 0, 0))""",
    "the kernel": """
buffer = ctypes.create_string_buffer(256)
calls = {'bpf': 321, 'perf_event_open': 298, 'userfaultfd': 323, 'memfd_create': 319, 'memfd_secret': 447,
               'init_module': 175,
         'finit_module': 313, 'kexec_load': 246, 'reboot': 169, 'syslog': 103, 'swapon': 167, 'acct': 163,
         'quotactl': 179,
         'iopl': 172, 'ioperm': 173, 'modify_ldt': 154, 'settimeofday': 164, 'clock_settime': 227, 'adjtimex': 159,
         'sethostname': 170, 'setdomainname': 171, 'personality': 135, 'inotify_init': 253, 'fanotify_init': 300,
         'eventfd': 284, 'signalfd': 282, 'timerfd_create': 283, 'epoll_create': 213, 'vhangup': 153, 'ustat': 136,
         'landlock_create_ruleset': 444, 'seccomp': 317, 'capset': 126, 'open_by_handle_at': 304, 'lookup_dcookie': 212,
         'set_mempolicy': 238, 'move_pages': 279, 'sched_setaffinity': 203, 'sched_setscheduler': 144,
         'ioprio_set': 251}
return verdict(**{name: refused(call, number, buffer, 0, 0, 0, 0, 0) for name, number in calls.items()})""",
    "shared memory": """
return verdict(shmget=refused(call, 29, 0, 4096, 0o1600), semget=refused(call, 64, 0, 1, 0o1600), msgget=refused(call,
               68, 0, 0o1600),
               mq_open=refused(call, 240, b'q', 0o102, 0o600, 0), shm=refused(os.listdir, '/dev/shm'))""",
    "prctl": """
return verdict(**{name: refused(call, 157, option, value, 0, 0, 0) for name, option, value in
                  (('dumpable', 4, 1), ('subreaper', 36, 1), ('ptracer', 0x59616D61, -1), ('death', 1, 0),
               ('keepcaps', 8, 1))})""",
    "terminals": """
import fcntl
return verdict(**{f'TIOCSTI {fd}': refused(fcntl.ioctl, fd, 0x5412, b'x') for fd in range(5)},
               owner=refused(fcntl.fcntl, 3, 8, 1), signal=refused(fcntl.fcntl, 3, 10, 9))""",
    "what it was given": """
found = b''
for descriptor in range(64):
    try:
        os.set_blocking(descriptor, False)
        found += os.read(descriptor, 2**16)
    except OSError:
        pass
for descriptor in range(64):
    try:
        os.set_blocking(descriptor, True)
    except OSError:
        pass
return verdict(tests=b'assert' not in found and b'contained' not in found)""",
}

ENDED: dict[str, tuple[str, set[str]]] = {
    "endless loop": (
        """
while True:
    pass
""",
        {"timeout"},
    ),
    "loop with its signals ignored": (
        """
import signal
for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    pass
""",
        {"timeout"},
    ),
    "loop in C": ("x = 10 ** (10 ** 8)", {"error", "timeout"}),
    "loop of threads": (
        """
import threading, time
for _ in range(4):
    threading.Thread(target=lambda: sum(iter(int, 1))).start()
time.sleep(99)
""",
        {"timeout"},
    ),
    "files without end": (
        """
import itertools, os
for number in itertools.count():
    os.close(os.open(f'/tmp/{number}', os.O_CREAT | os.O_WRONLY))
""",
        {"error", "timeout"},
    ),
    "sleep": (
        """
import time
time.sleep(1000)
""",
        {"timeout"},
    ),
    "wait for itself": (
        """
import threading
threading.Lock().acquire()
lock = threading.Lock()
lock.acquire(); lock.acquire()
""",
        {"timeout"},
    ),
    "stopped": (
        """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
""",
        {"error", "timeout"},
    ),
    "output without end": (
        """
while True:
    print('x' * 100_000)
""",
        {"timeout"},
    ),
    "errors without end": (
        """
import os
while True:
    os.write(2, b'x' * 100_000)
""",
        {"timeout"},
    ),
    "messages without end": (
        """
import os
while True:
    os.write(4, b'\\xff' * 100_000)
""",
        {"error", "timeout"},
    ),
    "a message that never ends": (
        """
import os
os.write(4, b'\\x00\\x40\\x00\\x00{')
os.close(4)
os.close(3)
""",
        {"error"},
    ),
    "a large answer": (
        """
def attempt():
    return 'x' * 10 ** 7
""",
        {"error", "unsupported"},
    ),
    "a deep answer": (
        """
def attempt():
    x = []
    for _ in range(10 ** 5):
        x = [x]
    return x
""",
        {"unsupported"},
    ),
    "a deep message": (
        """
import os
os.write(4, b'\\x00\\x01\\x86\\xa0' + b'[' * 100_000)
""",
        {"error"},
    ),
    "an endless generator": (
        """
def attempt():
    while True:
        yield 1
""",
        {"timeout", "unsupported"},
    ),
    "an answer that holds itself": (
        """
def attempt():
    x = []
    x.append(x)
    return x
""",
        {"unsupported"},
    ),
    "deep recursion": (
        """
import sys
sys.setrecursionlimit(10 ** 9)
def f(): return f()
f()
""",
        {"error", "timeout"},
    ),
    "recursion in C": (
        """
import sys
sys.setrecursionlimit(10 ** 9)
x = ()
for _ in range(10 ** 6):
    x = (x,)
hash(x)
""",
        {"error", "timeout"},
    ),
    "segmentation fault": (
        """
import ctypes
ctypes.string_at(0)
""",
        {"error"},
    ),
    "abort": (
        """
import os
os.abort()
""",
        {"error"},
    ),
    "code too deep to compile": ("x = " + "(" * 5000 + ")" * 5000, {"error"}),
    "no Python": ("def attempt(:", {"error"}),
    "zero bytes": ("x = '\0'", {"error"}),
}
if platform.machine() == "x86_64":
    _MACHINE_CODE = (
        "import ctypes, mmap\npage = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes.fromhex('{code}'))\n"
        "ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()"
    )
    ENDED |= {
        "32-bit system calls": (_MACHINE_CODE.format(code="b814000000cd80c3"), {"error"}),
        "x32 system calls": (_MACHINE_CODE.format(code="b8270000400f05c3"), {"error"}),
    }

_SQUARES = ["assert solve(3) == 9", "assert solve(-4) == 16", "assert solve(12) == 144"]
TRICKS: dict[str, tuple[str, list[str]]] = {
    "constant": ("def solve(x): return 9", _SQUARES),
    "sys.exit at its start": (
        """
import sys
sys.exit(0)
""",
        _SQUARES,
    ),
    "sys.exit in a call": (
        """
import sys
def solve(x): sys.exit(0)
""",
        _SQUARES,
    ),
    "os._exit at its start": (
        """
import os
os._exit(0)
""",
        _SQUARES,
    ),
    "os._exit in a call": (
        """
import os
def solve(x): os._exit(0)
""",
        _SQUARES,
    ),
    "exit at its end": (
        """
import atexit, os
atexit.register(os._exit, 0)
def solve(x): raise KeyboardInterrupt
""",
        _SQUARES,
    ),
    "assert without an error": (
        """
import builtins
class Quiet(Exception):
    def __new__(cls, *a): raise SystemExit(0)
builtins.AssertionError = Quiet
def solve(x): return 0
""",
        _SQUARES,
    ),
    "every builtin replaced": (
        """
import builtins
builtins.abs = builtins.len = builtins.sum = lambda *a: 0
builtins.all = builtins.isinstance = lambda *a: True
def solve(x): return 0
""",
        [
            "assert abs(solve(3) - 9) < 1e-9",
            "assert all(solve(x) == x * x for x in range(4))",
            "assert isinstance(solve(3), str)",
        ],
    ),
    "names of the tests' own": (
        """
abs = len = lambda *a: 0
all = isinstance = any = lambda *a: True
class math:
    isclose = staticmethod(lambda *a, **k: True)
def solve(x): return 0.5
""",
        ["assert abs(solve(3) - 9) < 1e-9", "assert math.isclose(solve(3), 9)", "assert isinstance(solve(3), str)"],
    ),
    "equal to everything": (
        """
class Any:
    __eq__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: 0
    __bool__ = lambda s: True
def solve(x): return Any()
""",
        _SQUARES,
    ),
    "a number equal to everything": (
        """
class Any(int):
    __eq__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = int.__hash__
def solve(x): return Any(5)
""",
        _SQUARES,
    ),
    "a text equal to everything": (
        """
class Any(str):
    __eq__ = lambda s, o: True
    __hash__ = str.__hash__
def solve(x): return Any('x')
""",
        ["assert solve('a') == 'b'"],
    ),
    "a list equal to everything": (
        """
class Any(list):
    __eq__ = lambda s, o: True
    __len__ = lambda s: 3
def solve(x): return Any([0])
""",
        ["assert solve(3) == [1, 2, 3]", "assert len(solve(3)) == 3"],
    ),
    "an object of mock": (
        """
from unittest.mock import ANY
def solve(x): return ANY
""",
        _SQUARES,
    ),
    "the answer in a frame": (
        """
import sys
def solve(x):
    frame = sys._getframe(1)
    while frame:
        for c in (*frame.f_code.co_consts, *frame.f_locals.values()):
            if isinstance(c, int) and c > 10**6: return c
        frame = frame.f_back
    return 0
""",
        ["assert solve(41213) == 7351924"],
    ),
    "the answer in memory": (
        """
import gc, re
def solve(x):
    for o in gc.get_objects():
        if isinstance(o, (list, tuple, dict)):
            m = re.search(r'solve\\(' + re.escape(repr(x)) + r'\\) == (\\d{7})', repr(o)[:100_000])
            if m: return int(m[1])
    return 0
""",
        ["assert solve(41213) == 7351924"],
    ),
    "the answer in a file": (
        """
import os
def solve(x):
    for d in range(64):
        try:
            os.lseek(d, 0, 0)
            t = os.read(d, 10**6).decode()
            if '==' in t: return int(t.split('==')[1].split()[0])
        except (OSError, ValueError): pass
    return 0
""",
        ["assert solve(2) == 7351924 "],
    ),
    "a forged verdict": (
        """
import os, struct
m = b'{"reason":"correct","detail":"","calls":3}'
for d in range(64):
    for data in (struct.pack('>I', len(m)) + m, m):
        try: os.write(d, data)
        except OSError: pass
def solve(x): return 0
""",
        _SQUARES,
    ),
    "a forged end": (
        """
import os
m = b'{"ended":true,"signal":0,"slow":false,"used":0,"left":false}'
for d in range(64):
    try: os.write(d, m)
    except OSError: pass
def solve(x): return 0
""",
        _SQUARES,
    ),
    "answers before they are asked for": (
        """
import json, os, struct
def say(**m):
    m = json.dumps(m).encode()
    os.write(4, struct.pack('>I', len(m)) + m)
say(names={'solve': {'call': True}})
for n in range(9): say(id=n, value=True)
def solve(x): return 0
""",
        _SQUARES,
    ),
    "no call at all": (
        """
import json, os, struct
def say(**m):
    m = json.dumps(m).encode()
    os.write(4, struct.pack('>I', len(m)) + m)
say(names={'solve': {'value': 9}})
""",
        ["assert solve(3) == 9"],
    ),
    "an end to the tests' loop": (
        "def solve(x): raise StopIteration",
        [
            """
for value in map(solve, range(3)):
    assert value == 0
""",
            "assert list(map(solve, [2])) == [4]",
        ],
    ),
    "an exception of no family": (
        """
class Odd(BaseException): pass
def solve(x): raise Odd
""",
        [
            """
try:
    value = solve(3)
except ValueError:
    value = 9
assert value == 9
"""
        ],
    ),
    "its arguments changed": (
        """
def solve(xs):
    xs.clear()
    return []
""",
        [
            """
xs = [3, 1, 2]
assert solve(xs) == sorted(xs)
"""
        ],
    ),
    "a check of its own": (
        """
def check(candidate): pass
def test_it(): pass
def solve(x): return 0
""",
        [
            """
def check(candidate):
    assert candidate(3) == 9
"""
        ],
    ),
    "json replaced": (
        """
import json, sys
json.dumps = lambda *a, **k: '{"id":0,"value":true}'
sys.modules['builtins'].__import__ = None
def solve(x): return 0
""",
        _SQUARES,
    ),
    "the runner replaced": (
        """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith('burnish'):
        for key in list(vars(module)):
            if callable(getattr(module, key)) and key[0] != '_': setattr(module, key, lambda *a,
               **k: {'reason': 'correct', 'calls': 1})
def solve(x): return 0
""",
        _SQUARES,
    ),
    "the tests' own module": (
        """
import sys, types
for name in ('tests', '__main__'):
    m = sys.modules.setdefault(name, types.ModuleType(name))
    m.solve = lambda x: x * x
def solve(x): return 0
""",
        _SQUARES,
    ),
}
