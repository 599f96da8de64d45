"""Going on in a Python that lacks something which was there."""

from __future__ import annotations

from support.sessions import Notebook, kill, save


def test_states_of_generators_that_can_not_be_read_cost_no_variable(notebook: Notebook) -> None:
    module = notebook.home / "gone.py"
    module.write_text("class State: pass\n")
    with notebook.kernel() as kernel:
        kernel.ok("x = [1]")
        kernel.ok("import gone\nget_ipython().regrow_session.autosave.generators['other'] = gone.State()\ndel gone")
        assert save(kernel) == ""
        kill(kernel)
    module.unlink()
    with notebook.kernel() as kernel:
        outcome = kernel.ok("x")
        assert outcome.result == "[1]"
        told = outcome.stderr + "".join(each["text/plain"] for each in outcome.displays)
        assert "Random numbers begin anew" in told and "No module named 'gone'" in told
