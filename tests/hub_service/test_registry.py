"""The registry, on SQLite and on PostgreSQL: its tables, its names, many who open and write it at once."""

import contextlib
import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from regrow.client.hub import HubError
from regrow.client.upstream import accept, news, offer, sync
from regrow.client.working import fork, publish, snapshot
from regrow.hub_service import quotas, shared_layers
from regrow.hub_service.registry.database import _prepare_sqlite, open_database, upgrade
from regrow.hub_service.registry.tables import Base, LargeObject, Project, Snapshot, StoredObject, now
from regrow.projects.pointers import Pointer

from support.service import noise, quiet, state


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'registry.sqlite'}"
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield url


@pytest.fixture
def engine(database_url):
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def project(name, owner="ada", **values):
    return Project(owner=owner, name=name, folded_name=name.casefold(), **values)


def add(engine, *rows):
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.add_all(rows)
    return rows


# Tables


def test_the_tables_are_what_the_migrations_make(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_is_opened_again_with_what_is_in_it(engine, database_url):
    add(engine, project("faces"))
    again = open_database(database_url)
    with Session(again) as session:
        assert session.scalars(select(Project.name)).all() == ["faces"]
    again.dispose()


def test_the_migrations_can_be_taken_back(engine):
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}
    downgrade(engine)
    with engine.begin() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    upgrade(engine)
    with engine.begin() as connection:
        assert set(inspect(connection).get_table_names()) == tables


def test_what_a_hub_of_the_first_version_refers_to_is_what_it_put_into_its_store(database_url):
    engine = open_database(database_url)
    downgrade(engine)
    upgrade(engine, "0001")
    for name in ("faces", "fork"):
        made = project(name)
        add(engine, made)
        add(engine, LargeObject(project_id=made.id, oid="ab" * 32, size=1))
    upgrade(engine)
    with Session(engine) as session:
        (stored,) = session.scalars(select(StoredObject))
        assert stored.oid == "ab" * 32 and abs(now() - stored.begun_at) < timedelta(minutes=5)
    engine.dispose()


def downgrade(engine):
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "regrow.hub_service.registry:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")


def test_a_migration_that_fails_leaves_the_tables_as_they_were(database_url, tmp_path):
    """A table is in the way of one that comes late in the migration."""
    engine = open_database(database_url)
    downgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE snapshot (a INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(engine)
    with engine.begin() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version", "snapshot"}
        connection.execute(text("DROP TABLE snapshot"))
    upgrade(engine)
    add(engine, project("faces"))
    engine.dispose()


def test_two_services_open_a_new_database_at_once(database_url):
    done = in_processes(open_and_write, database_url)
    assert done == [0] * len(done)
    engine = open_database(database_url)
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(Project)) == len(done)
    engine.dispose()


def in_processes(work, *arguments, count=4):
    """Do it in processes that begin at the same time; their exit statuses."""
    context = multiprocessing.get_context("forkserver")
    ready = context.Barrier(count)
    processes = [context.Process(target=work, args=(ready, number, *arguments)) for number in range(count)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(60)
        each.kill()
    return [each.exitcode for each in processes]


def open_and_write(ready, number, url):
    ready.wait(60)
    engine = open_database(url)
    add(engine, project(f"project{number}"))
    engine.dispose()


def test_two_threads_open_a_new_database_at_once(database_url):
    ready = threading.Barrier(4)

    def work(number):
        ready.wait()
        engine = open_database(database_url)
        add(engine, project(f"project{number}"))
        engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [None] * 4


def test_a_new_sqlite_file_may_be_opened_by_many_at_once(tmp_path):
    ready = threading.Barrier(6)

    def work(file):
        ready.wait()
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as connection:
            _prepare_sqlite(connection, None)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
            connection.commit()

    with ThreadPoolExecutor(6) as threads:
        for attempt in range(40):  # SQLite refused one in ten at once
            assert list(threads.map(work, [tmp_path / str(attempt)] * 6)) == [None] * 6


# Rows


def test_a_name_is_one_live_projects_and_its_case_does_not_tell_two_apart(engine):
    (first,) = add(engine, project("Faces"))
    with pytest.raises(IntegrityError):
        add(engine, project("fACES"))
    add(engine, project("Faces", owner="bob"))
    with Session(engine) as session, session.begin():
        session.get_one(Project, first.id).deleted_at = now()
    add(engine, project("faces", deleted_at=now()), project("FACES", deleted_at=now()), project("faces"))
    with pytest.raises(IntegrityError):
        add(engine, project("Faces"))


def test_moments_come_back_as_they_were(engine):
    (made,) = add(engine, project("faces"))
    with Session(engine) as session:
        assert session.get_one(Project, made.id).created_at == made.created_at
        assert session.scalars(select(Project).where(Project.created_at <= now())).one().id == made.id


def test_sizes_beyond_four_gigabytes_are_kept(engine):
    (made,) = add(engine, project("faces"))
    add(engine, LargeObject(project_id=made.id, oid="ab" * 32, size=2**62))
    with Session(engine) as session:
        assert session.scalars(select(LargeObject.size)).one() == 2**62


def test_what_belongs_to_a_project_goes_with_its_row(engine):
    (made,) = add(engine, project("faces"))
    add(engine, LargeObject(project_id=made.id, oid="ab" * 32, size=1))
    add(engine, Snapshot(project_id=made.id, id="1", commit="a" * 40))
    with Session(engine) as session, session.begin():
        session.delete(session.get_one(Project, made.id))
    with Session(engine) as session:
        assert session.scalars(select(LargeObject)).all() == session.scalars(select(Snapshot)).all() == []


def test_many_write_at_once_and_nothing_is_lost(engine):
    (made,) = add(engine, project("counted"))

    def work(number):
        for each in range(20):
            with Session(engine) as session, session.begin():
                # Reads before it writes, as the service does.
                session.scalars(select(Project)).all()
                session.add(LargeObject(project_id=made.id, oid=f"{number:032}{each:032}", size=each))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(16))) == [None] * 16
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(LargeObject)) == 16 * 20


# The service on it


def test_projects_are_found_by_words_of_their_owner_name_and_description(hub):
    with hub.client("ada") as client:
        client.create("faces", "Portraits in 100% colour")
        client.create("Voices", "of ada_s choir")
        client.create("plain")
        for search, found in (
            ("face", {"faces"}),
            ("VOICES", {"Voices"}),
            ("ada portraits", {"faces"}),
            ("0%", {"faces"}),
            ("a_s", {"Voices"}),
            ("%", {"faces"}),
            ("_", {"Voices"}),
            ("'; DROP TABLE project; --", set()),
            ("", {"faces", "Voices", "plain"}),
        ):
            assert {each["name"] for each in client.projects(search)} == found, search
    with hub.client("bob") as client:
        assert client.projects("face") == []


def test_a_name_is_free_again_when_its_project_is_deleted(hub, new_project, acting):
    with acting("ada") as client:
        for number in range(3):
            client.create("faces", str(number))
            with pytest.raises(HubError, match="You have a project FACES already"):
                client.create("FACES")
            client.delete("ada", "Faces")
        client.create("Faces")
        assert sorted(each["description"] for each in client.recycle_bin()) == ["0", "1", "2"]
        first = client.recycle_bin()[0]
        with pytest.raises(HubError, match="You have another project faces now"):
            client.undelete(first["id"])
        client.delete("ada", "Faces")
        assert client.undelete(first["id"])["description"] == first["description"]


def test_what_postgresql_cannot_keep_is_refused(hub):
    with hub.client("ada") as client:
        client.create("faces")
        for ask in (
            lambda: client.projects("a\x00b"),
            lambda: client.projects(owner="a\x00b"),
            lambda: client.project("ada", "a\x00b"),
            lambda: client.project("a\x00b", "faces"),
            lambda: client.undelete("a\x00b"),
            lambda: client.decide("a\x00b", "declined"),
            lambda: client.offer("ada", "faces", "a\x00b", ""),
            lambda: client.offer("ada", "faces", "", "a\x00b"),
            lambda: client.publish("ada", "faces", {"visibility": "hub", "snapshot": "a\x00b"}, quiet),
            lambda: client.publish("ada", "faces", {"visibility": "team", "team": "a\x00b"}, quiet),
            lambda: client.fork("ada", "faces", "mine", "a\x00b", quiet),
        ):
            with pytest.raises(HubError) as said:
                ask()
            assert 400 <= said.value.status < 500


def test_a_project_is_made_published_forked_merged_offered_and_deleted(hub, new_project, acting):
    faces = new_project("ada", "faces", {"a": b"1\n", "b": b"1\n", "model.bin": noise(1)})
    with acting("ada") as client:
        snapshot(client, faces, quiet)
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
        again = fork(client, "bob", "mine", "again", quiet).working
    assert state(again.folder) == state(mine.folder) == state(faces.folder)
    (faces.folder / "a").write_text("2\n")
    (faces.folder / "model.bin").write_bytes(noise(2))
    with acting("ada") as client:
        publish(client, faces, "public", "", quiet)
    with acting("bob") as client:
        assert not news(client, mine, quiet).is_up_to_date
        sync(client, mine, None, quiet)
        assert news(client, mine, quiet).is_up_to_date
        assert state(mine.folder) == state(faces.folder)
        (mine.folder / "b").write_text("3\n")
        (mine.folder / "new.bin").write_bytes(noise(3))
        offered = offer(client, mine, "Better b", quiet)
    with acting("ada") as client:
        assert [each["message"] for each in client.offers("ada", "faces")] == ["Better b"]
        accept(client, faces, offered["id"], None, quiet)
        assert state(faces.folder) == state(mine.folder)
        lineage = client.lineage("ada", "faces")
        assert [(each["owner"], each["name"]) for each in lineage] == [("ada", "faces"), ("", ""), ("", "")]
        client.delete("ada", "faces")
        (gone,) = client.recycle_bin()
        assert client.undelete(gone["id"])["name"] == "faces"
        client.delete("ada", "faces")
        client.purge(gone["id"])
    with acting("bob") as client:
        for name in ("mine", "again"):
            client.delete("bob", name)
        for each in client.recycle_bin():
            client.purge(each["id"])
    shared_layers.sweep(hub.service)
    assert list(hub.places.repositories.iterdir()) == list(hub.places.layers.iterdir()) == []
    assert list(hub.service.store.names()) == []
    with hub.service.session() as session:
        assert session.scalars(select(LargeObject)).all() == []


def test_many_requests_at_once_are_all_answered(hub, new_project):
    working = new_project("ada", "faces", {f"{number}.bin": noise(number) for number in range(3)})

    def work(number):
        with hub.client("ada") as client:
            kept = list(client.keep_large("ada", "faces", "faces", [f"{each}.bin" for each in range(3)]))
            client.create(f"new{number}")
            client.projects("faces")
            assert (
                client.missing_large("ada", "faces", [each["kept"]["pointer"] for each in kept if "kept" in each]) == []
            )

    with ThreadPoolExecutor(24) as threads:
        assert list(threads.map(work, range(24))) == [None] * 24
    assert len(hub.client("ada").projects()) == 25
    assert hub.client("ada").user()["bytes_used"] > 3 * len(noise(0))
    assert {Pointer(oid, 0).name for oid in quotas.brought(hub.service, "ada")} == set(hub.service.store.names())
    assert working.name == "faces"
