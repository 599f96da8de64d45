"""Which parts of a cell without `main` go where."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.kernel_magics import wrapping

EVERYTHING = r"""#include <iostream>
#include <vector>
#include <map>
#include <algorithm>
#define N 3
using namespace std;
struct P { int x; } origin;
template <typename T, int M = 3> requires (M > 2)
T add(T a, T b) { return a + b; }
enum class C { a, b };
namespace z { int q(int i) { return i; } }
constexpr int K = 4;
std::map<std::string, std::vector<int>> table(int n) { return {{"}{", {n}}}; }
auto lam = [](int x) { return x * K; };
class X { public: X(int v) : v_(v) {} int operator()(int a) const; private: int v_; };
int X::operator()(int a) const { return a + v_; }
bool operator<(const X& a, const X& b) noexcept { return false; }
auto trailing(int a) -> int { return a; }
std::ostream& operator<<(std::ostream& out, const P& p) { return out << p.x; }
[[nodiscard]] static int attributed() { return 1; }
std::vector<int> v{1, 2, 3};
std::vector<int> u(3), y{2};
for (int x : v) { cout << x << ' '; }
if (v.size() > 2) { cout << "big\n"; } else { cout << "small\n"; }
#ifdef N
cout << "N is " << N << "\n";
#else
cout << "no N\n";
#endif
do { v.pop_back(); } while (!v.empty());
try { throw 1; } catch (int e) { cout << "caught " << e << '\n'; } catch (...) {}
std::sort(u.begin(), u.end(), [](int a, int b) { return a < b; });
cout << add(1'000, 2) << R"x(a "quoted" ; } text)x" << '\'' << lam(2) << X(3)(4) << "\n"; // comment { ;
/* { */ [&] { cout << "called\n"; }();
{ int scoped = 1; cout << scoped << u8"é\n"s.size() << attributed(); }
switch (v.size()) { case 0: cout << "zero\n"; break; default: break; }
int after = table(2).size(); ++after; cout << after << origin << z::q(1) << trailing(5) << endl;
struct { int a; } anon{3}; cout << anon.a; void tail() { cout << "x"; } tail();
return after;
"""


def test_a_cell_of_everything_compiles_and_runs_in_order(tmp_path: Path) -> None:
    source = tmp_path / "unit.cpp"
    source.write_text(wrapping.program(EVERYTHING, "cell", 1).source)
    subprocess.run(["g++", "-std=c++20", source, "-o", tmp_path / "unit"], check=True)
    ran = subprocess.run([tmp_path / "unit"], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stdout == ('1 2 3 big\nN is 3\ncaught 1\n1002a "quoted" ; } text\'87\ncalled\n131zero\n2015\n3x')


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("int main() {}", True),
        ("auto main(int n, char** a) -> int { return 0; }", True),
        ("// int main()\nint x;", False),
        ('const char* s = "int main()";', False),
        ('auto s = R"(int main())";', False),
        ("int domain(int x) { return x; }", False),
        ("thing.main();", False),
        ("", False),
    ],
)
def test_a_main_is_found_only_where_it_is_code(cell: str, expected: bool) -> None:
    assert wrapping.has_main(cell) is expected


# Pieces of C++ whose sorting has to hold together in any order and on any line.
PIECES = st.sampled_from(
    [
        "int x;", "f(1);", "int f(int a) { return a; }", "#define A 1\n", "#if A\n", "#endif\n", "{ }", "}", "{", "(",
        "struct S { int a; };", "// note\n", "/* note */", '"text;"', "'\\''", 'R"(raw)"', "\n", " ", "1'000;", "\\\n",
        "template <class T> T g(T t) { return t; }", "if (x) { } else { }", "auto l = [] { };", "é", "\x00", "#", "'",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_text_of_a_cell_is_lost_and_each_piece_names_its_line(cell: str) -> None:
    if wrapping.has_main(cell):
        return
    source = wrapping.program(cell, "cell", 1).source
    lines = cell.split("\n")
    code = wrapping.blank_out(cell).split("\n")
    position = 0
    seen = {number: "" for number in range(1, len(lines) + 1)}
    for line in source.split("\n"):
        if line.startswith("#line ") and line.endswith(' "cell"'):
            position = int(line.split()[1])
        elif line.startswith("#line "):
            position = 0
        elif position:
            if position in seen:
                assert not line.strip() or line.strip() in lines[position - 1], (line, position)
                seen[position] += line
            position += 1
    for number, text in seen.items():
        # Comments between statements may go; code may not.
        assert Counter("".join(code[number - 1].split())) <= Counter("".join(text.split()))


@given(st.text(alphabet="ab \n\"'/*\\R()#;{}1", max_size=60))
def test_blanking_keeps_every_line_and_column(text: str) -> None:
    blank = wrapping.blank_out(text)
    assert len(blank) == len(text)
    assert [at for at, c in enumerate(blank) if c == "\n"] == [at for at, c in enumerate(text) if c == "\n"]
