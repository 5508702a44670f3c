"""Build of the extensions: Cython glue without CPU flags, C inner loops once per CPU level.

Environment switches (CONTRIBUTING.md explains them): FASTLOSS_OPENMP=0, FASTLOSS_DEBUG=1, FASTLOSS_SANITIZE=address,undefined,
FASTLOSS_COVERAGE=1, FASTLOSS_WERROR=1, FASTLOSS_LEVELS=v3,v4.
"""

import os
import platform
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

PACKAGE = Path("src/fastloss")
CSRC = PACKAGE / "csrc"
ENGINES = (
    *("pointwise", "sums", "rows", "scores", "ctc", "regions", "lovasz", "boxes"),
    *("vectors", "mining", "contrast", "digits"),
)
EXTENSIONS = ("_kernels", *(f"_engines.{name}" for name in ENGINES))
LOOPS = {  # their inner loops: compiled once per CPU level; those that take longest come first
    "_engines.pointwise": "pointwise/pointwise.c",
    "_engines.regions": "regions/regions.c",
    "_engines.vectors": "vectors/vectors.c",
    "_engines.mining": "mining/mining.c",
    "_engines.ctc": "ctc/ctc.c",
    "_engines.contrast": "contrast/contrast.c",
    "_engines.rows": "rows/rows.c",
    "_engines.sums": "sums/sums.c",
    "_engines.scores": "scores/scores.c",
    "_kernels": "common/level.c",
    "_engines.lovasz": "lovasz/lovasz.c",
    "_engines.boxes": "boxes/boxes.c",
    "_engines.digits": "digits/digits.c",
}
SHARED = "common/scalar.c"  # linked into every extension
LEVEL_FLAGS = {
    "baseline": [],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
# math-errno and trapping-math only forbid vectorisation here; nothing changes a result (there is no -ffast-math)
LOOP_FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math"]
WARNINGS = [
    "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
    "-Wno-unused-function", "-Wno-sign-compare", "-Wno-error=cpp",  # what Cython's own code needs
]  # fmt: skip


def switched_on(name: str, default: str = "0") -> bool:
    return os.environ.get(name, default).lower() not in ("", "0", "no", "off", "false")


DEBUG = switched_on("FASTLOSS_DEBUG")
COVERAGE = switched_on("FASTLOSS_COVERAGE")
SANITIZE = os.environ.get("FASTLOSS_SANITIZE", "")


def common_flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags that every object gets."""
    compile_flags, link_flags = ["-fvisibility=hidden"], []
    if switched_on("FASTLOSS_WERROR"):
        compile_flags += WARNINGS
    if DEBUG:
        compile_flags += ["-O0", "-g"]
    if SANITIZE:
        compile_flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
        link_flags += [f"-fsanitize={SANITIZE}"]
    if COVERAGE:
        compile_flags += ["--coverage", "-O0"]
        link_flags += ["--coverage"]
    if sys.platform.startswith("linux") and not (DEBUG or SANITIZE or COVERAGE):
        link_flags += ["-Wl,-s"]  # without symbols: a fifth of the size
        compile_flags += ["-g0"]  # Python's own flags have -g: half of the compiler's time on the inner loops
    return compile_flags, link_flags


class BuildKernels(build_ext):
    """build_ext that knows CPU levels and whether the compiler has OpenMP."""

    def build_extensions(self) -> None:
        compile_flags, link_flags = common_flags()
        openmp = self.openmp_flags()
        for extension in self.extensions:
            extension.extra_compile_args += openmp[0] + compile_flags
            extension.extra_link_args += openmp[1] + link_flags
        self.parallel = self.parallel or os.cpu_count()
        self.add_objects(compile_flags)
        super().build_extensions()

    def add_objects(self, compile_flags: list[str]) -> None:
        """Compile what the extensions share once, and every extension's LOOPS once per CPU level; csrc/common/levels.h, in
        the extension itself, learns which levels there are."""
        levels = ["baseline"]
        if platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32:
            wanted = os.environ.get("FASTLOSS_LEVELS", "v3,v4").split(",")
            known = [level for level in ("v3", "v4") if level in wanted]
            levels += [level for level in known if self.compiles("int main(void){return 0;}", LEVEL_FLAGS[level])]
        stale = {extension.name.removeprefix("fastloss."): extension for extension in self.extensions if self.is_stale(extension)}
        with ThreadPoolExecutor(self.parallel) as pool:  # each runs a compiler of its own
            objects = [
                (stale[name], pool.submit(self.compile_level, source, level, compile_flags))
                for name, source in LOOPS.items()
                if name in stale
                for level in levels
            ]
            shared = pool.submit(self.compile_shared, compile_flags)
            objects += [(extension, shared) for extension in stale.values()]
        for extension, compiled in objects:
            extension.extra_objects += compiled.result()
        for name, extension in stale.items():
            if name in LOOPS:
                extension.define_macros += [(f"FL_HAVE_{level.upper()}", "1") for level in levels[1:]]

    def is_stale(self, extension: Extension) -> bool:
        path = self.get_ext_fullpath(extension.name)
        return bool(self.force or newer_group(extension.sources + extension.depends, path, "newer"))

    def compile_shared(self, compile_flags: list[str]) -> list[str]:
        return self.compiler.compile(
            [str(CSRC / SHARED)], output_dir=self.build_temp, include_dirs=[str(CSRC)], extra_postargs=["-O2", *compile_flags]
        )

    def compile_level(self, source: str, level: str, compile_flags: list[str]) -> list[str]:
        return self.compiler.compile(
            [str(CSRC / source)],
            output_dir=str(Path(self.build_temp) / level),
            macros=[("FL_LEVEL", level)],
            include_dirs=[str(CSRC)],
            extra_postargs=LOOP_FLAGS + LEVEL_FLAGS[level] + compile_flags,
        )

    def openmp_flags(self) -> tuple[list[str], list[str]]:
        if switched_on("FASTLOSS_OPENMP", "1"):
            program = "#include <omp.h>\nint main(void){return omp_get_max_threads() < 1;}"
            if self.compiles(program, ["-fopenmp"], link=["-fopenmp"]):
                return ["-fopenmp"], ["-fopenmp"]
            print("fastloss: this compiler has no OpenMP; building without threads", file=sys.stderr)
        return [], []

    def compiles(self, program: str, flags: list[str], link: list[str] | None = None) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                if link is not None:
                    self.compiler.link_executable(objects, str(Path(folder) / "probe"), extra_postargs=link)
            except (CompileError, LinkError):
                return False
        return True


def included(source: Path) -> set[Path]:
    """The headers of csrc/ that a C file needs, through all its includes."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        for name in re.findall(r'#(?:include|define FL_BODY) "(.+)"', waiting.pop().read_text()):
            if CSRC / name not in found:
                found.add(CSRC / name)
                waiting.append(CSRC / name)
    return found


def extensions() -> list[Extension]:
    def extension(name: str, *sources: str) -> Extension:
        loops = [CSRC / LOOPS[name]] if name in LOOPS else []
        parts = PACKAGE.glob(f"{name.replace('.', '/')}_*.pxd")
        headers = set().union(*(included(path) for path in [*loops, CSRC / SHARED, *map(Path, sources)]))
        return Extension(
            f"fastloss.{name}",
            [str(PACKAGE / f"{name.replace('.', '/')}.pyx"), *sources],
            include_dirs=[str(CSRC), numpy.get_include()],
            depends=sorted(str(path) for path in [*loops, *headers, CSRC / SHARED, PACKAGE / "_kernels.pxd", *parts]),
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION")]
            + ([("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if COVERAGE else []),
            extra_compile_args=["-O2"],
        )

    return cythonize(
        [extension(name, *([str(CSRC / "common/dispatch.c")] if name == "_kernels" else [])) for name in EXTENSIONS],
        compiler_directives={"linetrace": COVERAGE, "embedsignature": True},
        include_path=["src"],
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
