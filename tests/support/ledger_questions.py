"""What sweeps, lanes, receivers and pages ask the ledger again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.ports.audit import AuditLane
from patchclip_node.services.alerts.conditions import FAILED
from patchclip_node.services.release import BY_THE_RULE
from tests.support.fakes import START, make_instance
from tests.support.studies import DESTINATION, LEASE_S

LATER = START + timedelta(hours=1)

Question = Callable[[SqlLedger], object]

QUESTIONS: Final[dict[str, Question]] = {
    "sweep, whose leases there are": lambda ledger: ledger.leases.owners(),
    "sweep, leases renewed": lambda ledger: ledger.leases.renew("me", START, LEASE_S),
    "sweep, leases ended": lambda ledger: ledger.leases.expire(LATER, ["dead"], 3),
    "sweep, quiet studies": lambda ledger: ledger.arrivals.close_quiet(LATER, 5, 3600),
    "sweep, the next quiet study": lambda ledger: ledger.arrivals.next_quiet(5, 3600),
    "sweep, due analyses": lambda ledger: ledger.workload.is_analysis_due(LATER),
    "lane, what to send": lambda ledger: ledger.deliveries.lease(LATER, "me", LEASE_S, [DESTINATION]),
    "lane of the audit trail": lambda ledger: ledger.audit.take(AuditLane.FILE, "me", LATER, LEASE_S, 100),
    "owed rejection notes": lambda ledger: ledger.recalls.owed_notes(100),
    "owed commitment reports": lambda ledger: ledger.owed_reports.take(LATER, LEASE_S),
    "retention, what is over": lambda ledger: ledger.retention.ended(FINAL_STATES, LATER, 100),
    "retention, strays": lambda ledger: ledger.retention.forget_strays(LATER),
    "retention, a study goes": lambda ledger: ledger.retention.forget("1.7", [], LATER),
    "retention, what recalls do not need any more": lambda ledger: ledger.retention.forget_purged(LATER),
    "an image of a new study": lambda ledger: ledger.arrivals.record(make_instance("1.99")),
    "an image of a known study": lambda ledger: ledger.arrivals.record(make_instance("1.1")),
    "whether it is one of ours": lambda ledger: ledger.arrivals.issued("1.2"),
    "whether it is held": lambda ledger: ledger.arrivals.held("1.2"),
    "who has sent": lambda ledger: ledger.arrivals.recent_senders(1000),
    "holds that are over": lambda ledger: ledger.gates.time_out(LATER, BY_THE_RULE),
    "pages, the queue": lambda ledger: ledger.overview.queue(50),
    "pages, what is being sent": lambda ledger: ledger.overview.sending(50),
    "watch, its duty": lambda ledger: ledger.duties.hold("watch", "me", LATER, LEASE_S),
    "watch, alerts that are open": lambda ledger: ledger.alerts.open(),
    "watch, since when studies have failed": lambda ledger: ledger.watched.failed_since(FAILED),
    "watch, what was given up": lambda ledger: ledger.watched.undelivered(1000),
    "watch, who sent what came": lambda ledger: ledger.watched.learn(50, LATER, ["DX"]),
    "watch, last images": lambda ledger: ledger.watched.last_images(),
    "watch, histories": lambda ledger: ledger.watched.histories(),
    "watch, destinations that are down": lambda ledger: ledger.outages.outages(),
    "post, the next message": lambda ledger: ledger.alerts.take("mail", LATER, LEASE_S),
    "pages, how messages go": lambda ledger: ledger.alerts.channels(),
    "metrics, times": lambda ledger: ledger.figures.times(),
    "metrics, what is oldest": lambda ledger: ledger.figures.oldest(StudyState),
    "metrics, probabilities": lambda ledger: ledger.figures.probabilities("sha256:0"),
    "backfill, the next study": lambda ledger: ledger.backfill.next(LATER),
    "backfill, when the next is due": lambda ledger: ledger.backfill.next_due(),
    "backfill, what was asked for": lambda ledger: ledger.backfill.asked(),
    "backfill, how far it is": lambda ledger: ledger.backfill.progress(LATER, 5),
    "backfill, whether a study is here": lambda ledger: ledger.backfill.knows("1.1"),
    "backfill, what is here of a study": lambda ledger: ledger.backfill.images("1.1"),
    "backfill, what was sent": lambda ledger: ledger.backfill.at_work(5, of_backfill=False),
    "backfill, what was pulled": lambda ledger: ledger.backfill.at_work(5, of_backfill=True),
    "worker, the next study": lambda ledger: ledger.analyses.lease(LATER, "me", LEASE_S),
    "pages, counts": lambda ledger: ledger.workload.counts(),
    "pages, what is due": lambda ledger: ledger.workload.due(LATER),
    "pages, what waits": lambda ledger: ledger.workload.waiting_by_destination(),
    "pages, newest studies": lambda ledger: ledger.studies.find(),
    "pages, a patient": lambda ledger: ledger.studies.find(patient_id="PAT-1"),
    "pages, a study": lambda ledger: ledger.studies.revisions("1.1"),
    "pages, its images": lambda ledger: ledger.studies.instances("1.1"),
    "pages, its events": lambda ledger: ledger.studies.events(1),
    "pages, its results": lambda ledger: ledger.studies.results(1),
    "pages, its deliveries": lambda ledger: ledger.studies.deliveries(1),
}
"""Of a ledger with the studies 1.0, 1.1 and so on, in which something is due at LATER."""
