"""What each magic accepts, as data. A test holds the docs against it."""

from __future__ import annotations

from regrow.client import usages
from regrow.client.options import Option, Usage

from .checkpoint_usages import CHECKPOINT, NOSAVE

CPP = Usage(
    magic="%%cpp",
    summary="Compile the cell as C++ and run it, or import it as a Python module.",
    words="[FLAGS and files]",
    words_help="Passed to the compiler in order: -O3 -lfoo -DN=4 helper.cpp. Default: -O2.",
    options=(
        Option("--std", "NAME", "The C++ standard. Default: c++20."),
        Option("--ext", "NAME", "Import the cell, which has a PYBIND11_MODULE(NAME, m), as the module NAME."),
        Option("--pkg", "NAME", "Use the flags that pkg-config knows for NAME. May be repeated.", repeat=True),
        Option("--args", "WORDS...", "The rest of the line is the program's arguments."),
    ),
    example="%%cpp -O3 --pkg zlib --args 10 \"two words\"\n#include <iostream>\nstd::cout << argc - 1 << '\\n';",
)

BUILD = Usage(
    magic="%build",
    summary="List what is installed in $BUILD/local and in your groups' builds, and by which project.",
    options=(Option("--files", "NAME", "List the files of one package."),),
    example="%build",
)

GPU = Usage(
    magic="%gpu",
    summary="Show who holds which GPU memory: by kernel, and by variable of this kernel.",
    words="[free]",
    words_help="Give back what is cached or unreachable, and say how much came back.",
    options=(),
    example="%gpu free",
)

ALL = (CPP, BUILD, GPU, *usages.ALL, *CHECKPOINT.values(), NOSAVE)
