import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.spawner.errors import BadOptions
from regrow.spawner.profiles import (
    ProfileError,
    choose,
    offered,
    options_from_form,
    parse_profiles,
    render_form,
)

SMALL = {"slug": "small", "name": "Small", "cpus": 2, "memory_bytes": 4 * 1024**3}
GPU = {"slug": "gpu", "name": "GPU", "gpus": 1, "groups": ["research"]}
PROFILES = parse_profiles([SMALL, GPU])


def test_resources_are_said_in_words():
    assert PROFILES[0].resources == "2 CPUs, 4 GiB"
    assert PROFILES[1].resources == "1 GPU"
    assert parse_profiles([{"slug": "x", "name": "X"}])[0].resources == "no limits"


def test_without_a_choice_the_first_profile_is_taken():
    assert choose(PROFILES, {}) == (PROFILES[0], False)


def test_a_profile_for_a_group_is_offered_to_its_members_only():
    assert [profile.slug for profile in offered(PROFILES, set())] == ["small"]
    assert [profile.slug for profile in offered(PROFILES, {"research"})] == ["small", "gpu"]
    with pytest.raises(BadOptions, match="no profile 'gpu' for you. Choose one of: small"):
        choose(offered(PROFILES, set()), {"profile": "gpu"})


def test_without_any_profile_the_user_is_told_whom_to_ask():
    with pytest.raises(BadOptions, match="Ask an administrator"):
        choose([], {})


@given(
    st.dictionaries(
        st.text(),
        st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()), st.dictionaries(st.text(), st.text())),
    )
)
def test_whatever_is_sent_only_an_offered_profile_comes_out(options):
    try:
        profile, anew = choose(PROFILES, options)
        assert profile in PROFILES and anew in (True, False)
    except BadOptions as error:
        assert error.status_code == 400


def test_a_form_with_a_field_sent_twice_is_refused():
    with pytest.raises(BadOptions, match="2 values for 'profile'"):
        options_from_form({"profile": ["small", "gpu"]})


def test_markup_in_a_profile_is_shown_as_text():
    profiles = parse_profiles([{"slug": "x", "name": "<script>alert(1)</script>", "description": '"><img src=x>'}])
    form = render_form(profiles, None, note="<b>note</b>")
    assert "<script>" not in form and "<img" not in form and "<b>" not in form
    assert "&lt;script&gt;" in form


def test_the_last_choice_is_selected_and_a_vanished_one_falls_back_to_the_first():
    assert 'value="gpu" checked' in render_form(PROFILES, "gpu")
    assert 'value="small" checked' in render_form(PROFILES, "gone")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "empty"),
        ([SMALL, SMALL], "two profiles with the slug 'small'"),
        ([{"name": "x"}], "slug"),
        ([{"slug": "No Good", "name": "x"}], "lower-case"),
        ([{"slug": "x", "name": "X", "cpus": -1}], "cpus is -1"),
        ([{"slug": "x", "name": "X", "memory_bytes": "4G"}], "memory_bytes is '4G'"),
        ([{"slug": "x", "name": "X", "gpus": True}], "gpus is True"),
        ([{"slug": "x", "name": "X", "memory": 4}], "unexpected keyword argument 'memory'"),
    ],
)
def test_a_profile_that_makes_no_sense_is_named(entries, message):
    with pytest.raises(ProfileError, match=message):
        parse_profiles(entries)
