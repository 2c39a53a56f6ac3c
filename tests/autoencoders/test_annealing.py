from pushforward.autoencoders.annealing import kl_weight, ramp


def test_the_weight_rises_over_the_warm_up_of_every_cycle():
    weights = [kl_weight(step / 100, warm_up=0.5, cycles=4) for step in range(101)]
    assert [step for step in range(101) if weights[step] == 0] == [0, 25, 50, 75]
    assert weights[6] == 12 * 0.04 and weights[20] == 1.0
    assert weights[100] == 1.0, "a trained model has the whole bound"


def test_without_warm_up_the_weight_is_one_from_the_start():
    assert {kl_weight(step / 10, warm_up=0.0, cycles=3) for step in range(11)} == {1.0}


def test_a_ramp_ends_where_it_should():
    assert [ramp(p, over=0.25) for p in (0.0, 0.125, 0.25, 1.0)] == [0.0, 0.5, 1.0, 1.0]
