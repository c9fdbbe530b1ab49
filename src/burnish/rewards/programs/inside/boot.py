"""The first lines of an interpreter in a cell, given as `-c`: it takes the other modules from its standard input.

A cell has no file of Burnish's, so they come as text, in one message, with the order of what to begin.
"""

import json
import socket
import sys
import types

control = socket.socket(fileno=0)
order = json.loads(control.recv(2**20))
package = types.ModuleType("")
for name in ("burnish", "burnish.rewards", "burnish.rewards.programs", "burnish.rewards.programs.inside"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = []
for name, source in order["modules"]:
    module = types.ModuleType(f"{package.__name__}.{name}")
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
sys.modules[f"{package.__name__}.zygote"].start(control, order)
