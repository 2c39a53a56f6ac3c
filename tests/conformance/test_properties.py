"""What a check says, in words and as JSON."""

from pushforward.conformance.properties import Question, Report

ASKED = Question(name="sums to one", tested="added up", meaning="no density", where="Model.log_prob")


def test_an_answer_keeps_the_question_and_may_know_more():
    failed = ASKED.fails("the sum is 2", "counted twice", "Model.draw")
    assert (failed.name, failed.tested, failed.found) == ("sums to one", "added up", "the sum is 2")
    assert (failed.meaning, failed.where) == ("counted twice", "Model.draw")
    assert ASKED.fails("the sum is 2").meaning == "no density"


def test_a_report_is_ok_as_long_as_nothing_fails():
    good = Report(model="M", seed=0, properties=(ASKED.holds("1.0"), ASKED.absent("no density")))
    bad = Report(model="M", seed=0, properties=(*good.properties, ASKED.fails("2.0")))
    assert good.ok and not bad.ok and bad.failures == (bad.properties[2],)
    assert str(bad).splitlines()[0] == "M: 1 properties hold, 1 fail, 1 do not apply"
    assert "meaning: no density" in str(bad) and "meaning" not in str(good)
    assert bad.to_json()["properties"][2]["outcome"] == "fails"
