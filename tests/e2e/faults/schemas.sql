-- The schema of each version of the database, as the steps from the one before. These texts never change.

-- version 1
CREATE TABLE memo (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    task TEXT NOT NULL,
    version TEXT NOT NULL,
    definition BLOB NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX memo_key ON memo (key);
CREATE TABLE definition (
    digest BLOB PRIMARY KEY,
    parts TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    path TEXT NOT NULL,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    counts TEXT NOT NULL,
    saved_ms INTEGER NOT NULL
);
CREATE INDEX run_status ON run (status) WHERE status = 'running';

CREATE TABLE file_stat (
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (dev, ino)
) WITHOUT ROWID;

-- version 2
CREATE TABLE node_time (
    workflow TEXT NOT NULL,
    node TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (workflow, node)
) WITHOUT ROWID;

-- version 3
ALTER TABLE memo ADD COLUMN interface BLOB;
ALTER TABLE memo ADD COLUMN used_ms INTEGER;
CREATE INDEX memo_task ON memo (task, node);
CREATE TABLE interface (
    digest BLOB PRIMARY KEY,
    parts TEXT NOT NULL
) WITHOUT ROWID;

ALTER TABLE run ADD COLUMN invocation TEXT NOT NULL DEFAULT '';
CREATE TABLE document (
    digest BLOB PRIMARY KEY,
    text TEXT NOT NULL
);

ALTER TABLE node_time ADD COLUMN mean_ms INTEGER;

-- version 4
CREATE TABLE footprint (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    bytes INTEGER,
    floor INTEGER NOT NULL DEFAULT 0
);
INSERT INTO footprint (id) VALUES (0);
ALTER TABLE run ADD COLUMN bytes INTEGER;

-- version 5
CREATE TABLE published (
    path BLOB NOT NULL PRIMARY KEY,
    root BLOB NOT NULL,
    content TEXT NOT NULL,
    previous TEXT,
    placed INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    relative BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX published_root ON published (root);
CREATE INDEX published_relative ON published (workflow, relative);

-- version 6
ALTER TABLE memo ADD COLUMN provenance TEXT;

-- version 7
CREATE TABLE execution (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    task TEXT NOT NULL,
    key BLOB,
    created_ms INTEGER NOT NULL
);
CREATE TABLE content (
    digest BLOB NOT NULL,
    execution INTEGER NOT NULL,
    used INTEGER NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    file TEXT NOT NULL,
    whole BLOB,
    PRIMARY KEY (digest, used, execution, name, path)
) WITHOUT ROWID;
CREATE INDEX published_content ON published (content);

-- version 8
CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    times TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    accounted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE schedule_pause (
    id INTEGER PRIMARY KEY,
    schedule TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER,
    by TEXT NOT NULL,
    reason TEXT
);
CREATE INDEX schedule_pause_of ON schedule_pause (schedule, since_ms);
CREATE TABLE claimant (
    claimant TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    url TEXT
) WITHOUT ROWID;
CREATE TABLE schedule_served (
    schedule TEXT NOT NULL,
    claimant TEXT NOT NULL,
    PRIMARY KEY (schedule, claimant)
) WITHOUT ROWID;
CREATE TABLE instant (
    id INTEGER PRIMARY KEY,
    schedule TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    fires_ms INTEGER NOT NULL,
    became TEXT NOT NULL,
    trigger TEXT NOT NULL,
    reason TEXT,
    run TEXT,
    claimant TEXT NOT NULL,
    claimed_ms INTEGER NOT NULL,
    begun INTEGER NOT NULL DEFAULT 0,
    ended_by TEXT,
    outcome TEXT,
    counts TEXT,
    started_ms INTEGER,
    finished_ms INTEGER
);
CREATE UNIQUE INDEX instant_once ON instant (schedule, at_ms) WHERE trigger IN ('schedule', 'catch_up');
CREATE INDEX instant_newest ON instant (schedule, at_ms, id);
CREATE INDEX instant_of_run ON instant (run) WHERE run IS NOT NULL;
CREATE INDEX instant_live ON instant (schedule) WHERE run IS NOT NULL AND outcome IS NULL;
CREATE TABLE schedule_request (
    id INTEGER PRIMARY KEY,
    claimant TEXT NOT NULL,
    schedule TEXT NOT NULL,
    request TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    answer TEXT
);
CREATE TRIGGER instant_begins AFTER INSERT ON run BEGIN
    UPDATE instant SET begun = 1, started_ms = NEW.started_ms, counts = NEW.counts, finished_ms = NEW.finished_ms,
        outcome = CASE
            WHEN NEW.status = 'running' THEN NULL
            WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed'
            ELSE NEW.status END
    WHERE run = NEW.run;
END;
CREATE TRIGGER instant_ends AFTER UPDATE OF status ON run WHEN NEW.status <> 'running' BEGIN
    UPDATE instant SET counts = NEW.counts, finished_ms = NEW.finished_ms,
        outcome = CASE WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed' ELSE NEW.status END
    WHERE run = NEW.run;
END;

-- version 9
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    message TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL,
    series TEXT NOT NULL,
    schedule TEXT,
    event TEXT NOT NULL,
    run TEXT,
    workflow TEXT NOT NULL,
    target TEXT NOT NULL,
    document TEXT NOT NULL,
    timeout_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    tries INTEGER NOT NULL DEFAULT 0,
    due_ms INTEGER NOT NULL,
    error TEXT,
    ended_ms INTEGER
);
CREATE INDEX outbox_due ON outbox (due_ms) WHERE state = 'pending';
CREATE INDEX outbox_series ON outbox (series, rule, id);

-- version 10
ALTER TABLE schedule ADD COLUMN settings TEXT;
DROP TRIGGER instant_begins;
CREATE TRIGGER instant_begins AFTER INSERT ON run BEGIN
    UPDATE instant SET begun = 1, started_ms = NEW.started_ms, counts = NEW.counts, finished_ms = NEW.finished_ms,
        outcome = CASE
            WHEN NEW.status IN ('running', 'interrupted') THEN NULL
            WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed'
            ELSE NEW.status END
    WHERE run = NEW.run;
END;
DROP TRIGGER instant_ends;
CREATE TRIGGER instant_ends AFTER UPDATE OF status ON run WHEN NEW.status NOT IN ('running', 'interrupted') BEGIN
    UPDATE instant SET counts = NEW.counts, finished_ms = NEW.finished_ms,
        outcome = CASE WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed' ELSE NEW.status END
    WHERE run = NEW.run;
END;

-- version 11
CREATE TABLE receipt (
    request BLOB PRIMARY KEY,
    changes INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    text TEXT NOT NULL,
    evidence BLOB NOT NULL,
    written_ms INTEGER NOT NULL
);
CREATE TABLE memo_changes (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    count INTEGER NOT NULL
);
INSERT INTO memo_changes (id, count) VALUES (0, 0);
CREATE TRIGGER memo_removed AFTER DELETE ON memo BEGIN
    UPDATE memo_changes SET count = count + 1;
END;
CREATE TRIGGER memo_changed AFTER UPDATE OF key, definition, outputs, run, node, created_ms, duration_ms, checksum, provenance
ON memo BEGIN
    UPDATE memo_changes SET count = count + 1;
END;
CREATE TRIGGER memo_older AFTER UPDATE OF used_ms ON memo WHEN NEW.used_ms < coalesce(OLD.used_ms, OLD.created_ms) BEGIN
    UPDATE memo_changes SET count = count + 1;
END;

-- version 12
CREATE TABLE upload (
    remote TEXT NOT NULL,
    key BLOB NOT NULL,
    replaces INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL,
    PRIMARY KEY (remote, key)
) WITHOUT ROWID;
CREATE INDEX upload_key ON upload (key);
CREATE TRIGGER upload_gone AFTER DELETE ON memo BEGIN
    DELETE FROM upload WHERE key = OLD.key;
END;

-- version 13
ALTER TABLE instant ADD COLUMN untold INTEGER NOT NULL DEFAULT 0;
CREATE INDEX instant_untold ON instant (id) WHERE untold = 1;
CREATE TABLE refusal (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    series TEXT NOT NULL,
    refused_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX refusal_of ON refusal (series, refused_ms);
