"""What the tests' own hub says when it fails."""

import pytest

from support.hub import Hub


def test_of_a_hub_that_hangs_the_log_says_where(tmp_path):
    config = tmp_path / "jupyterhub_config.py"
    config.write_text("import time\n\n\ndef hang():\n    time.sleep(600)\n\n\nhang()\n")
    hub = Hub(tmp_path, {}, config_file=config, start_timeout_s=10)
    with pytest.raises(AssertionError, match="the hub did not start") as said:
        hub.start()
    assert "Current thread" in str(said.value)
    assert "in hang" in str(said.value)
    assert hub.process.poll() is not None
