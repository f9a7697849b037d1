"""In which order legs are asked, and what holds for every order."""

import collections
import threading
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import cost_of
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
)
from langchain_cerebras_ext.routing._leg import Asked, Leg, Need, Order, Seen
from langchain_cerebras_ext.routing._target import Target
from langchain_cerebras_ext.routing.experiment import Experiment
from langchain_cerebras_ext.routing.strategies import (
    ByExperiment,
    Cheapest,
    Custom,
    Fastest,
    Ordered,
    Weighted,
    key_of,
    make_strategy,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def leg(name, provider="openai"):
    target = Target(provider, name)
    return Leg(name, target=target, make=lambda: pytest.fail("it was made"))


def asked(metadata=None, run_id=None, **need):
    return Asked(Need(**need), metadata or {}, (), run_id)


A, B, C = leg("a"), leg("b"), leg("c")
LEGS = [A, B, C]


def names(order):
    return [one.name for one in order.legs]


def priced():
    return (
        PriceBook()
        .with_price("a", provider="openai", input="2", output="8")
        .with_price("b", provider="openai", input="1", output="20")
        .with_price("c", provider="openai", input="5", output="5")
    )


STRATEGIES = {
    "ordered": Ordered,
    "cheapest": lambda: Cheapest(priced(), now=lambda: NOW),
    "fastest": lambda: Fastest(seed=1, explore=0.5),
    "weighted": lambda: Weighted({"a": 3, "b": 1, "c": 0}, seed=1),
    "weighted-by-key": lambda: Weighted({"a": 3, "b": 1}, key="user_id"),
    "experiment": lambda: ByExperiment(Experiment("e", {"a": 1, "b": 1}, holdout=0.2)),
}
every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)


# ------------------------------------------------------------- what holds for all of them


@every_strategy
@settings(deadline=None)
@given(
    present=st.lists(st.sampled_from(LEGS), unique=True),
    user=st.text(min_size=1, max_size=5),
    tokens=st.none() | st.integers(0, 10**6),
)
def test_every_leg_is_returned_once(make, present, user, tokens):
    strategy = make()
    for _ in range(3):
        request = asked(
            {"user_id": user}, input_tokens=tokens, max_output_tokens=tokens
        )
        order = strategy.order(present, request)
        assert sorted(names(order)) == sorted(one.name for one in present)
        for one in present:
            strategy.observe(Seen(one.name, 0.1, 1.0, 10, is_ok=True))


@every_strategy
def test_it_is_safe_for_threads(make):
    strategy = make()
    wrong = []

    def work():
        for at in range(100):
            request = asked({"user_id": str(at)}, input_tokens=at)
            order = strategy.order(LEGS, request)
            if sorted(names(order)) != ["a", "b", "c"]:
                wrong.append(order)
            strategy.observe(Seen(order.legs[0].name, 0.1, 1.0, 10, is_ok=at % 3 > 0))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@every_strategy
def test_it_says_what_it_is_and_whether_tokens_are_to_be_counted(make):
    strategy = make()
    assert strategy.name in {"ordered", "cheapest", "fastest", "weighted", "experiment"}
    assert strategy.wants_input_tokens is (strategy.name == "cheapest")
    assert repr(strategy)


def test_ordered_is_the_order_given():
    assert names(Ordered().order([C, A, B], asked())) == ["c", "a", "b"]


# ------------------------------------------------------------------------- cheapest


@pytest.mark.parametrize(
    ("prompt", "answer", "order"),
    [
        (1_000, 1, ["b", "a", "c"]),  # 1020, 2008, 5005
        (100, 1_000, ["c", "a", "b"]),  # 5500, 8200, 20100
        (1_000, 500, ["a", "c", "b"]),  # 6000, 7500, 11000
    ],
    ids=["long-prompt", "long-answer", "between"],
)
def test_the_cheapest_for_these_tokens_is_first(prompt, answer, order):
    strategy = Cheapest(priced(), now=lambda: NOW, output_tokens=1_000)
    request = asked(input_tokens=prompt, max_output_tokens=answer)
    assert names(strategy.order(LEGS, request)) == order
    quote = strategy.quotes(LEGS, request)[0]
    row = priced().find("openai", order[0], NOW)
    assert quote.usd == cost_of(row, prompt, output=answer).total
    assert quote.source == "your prices"


def test_the_request_can_only_shorten_the_assumed_answer():
    strategy = Cheapest(priced(), output_tokens=500, now=lambda: NOW)
    long = strategy.quotes([A], asked(max_output_tokens=100_000))[0]
    assert long.usd == 500 * Decimal(8) / 1_000_000


def test_prices_are_those_of_the_day():
    book = (
        PriceBook()
        .with_price("a", provider="openai", input="1", output="1")
        .with_price("b", provider="openai", input="2", output="2")
        .with_price(
            "b", provider="openai", input="0", output="0", valid_from=NOW.date()
        )
    )
    days = iter([datetime(2026, 11, 20, 23, 59, tzinfo=UTC), NOW])
    strategy = Cheapest(book, now=lambda: next(days))
    assert names(strategy.order([A, B], asked())) == ["a", "b"]
    assert names(strategy.order([A, B], asked())) == ["b", "a"]


def test_the_catalogs_prices_need_no_book():
    gpt, glm = leg("gpt-oss-120b", "cerebras"), leg("zai-glm-4.7", "cerebras")
    strategy = Cheapest(now=lambda: NOW)
    quotes = strategy.quotes([glm, gpt], asked(input_tokens=1_000_000))
    assert [one.leg for one in quotes] == [gpt, glm]
    assert quotes[0].usd == Decimal("0.35") + 500 * Decimal("0.75") / 1_000_000


def test_what_costs_the_same_stays_in_its_order():
    book = PriceBook().with_price("*", provider="openai", input="1", output="1")
    assert names(Cheapest(book).order([C, A, B], asked())) == ["c", "a", "b"]


def test_an_unknown_price_is_last_and_said_once():
    strategy = Cheapest(priced(), now=lambda: NOW)
    strange = leg("house-model", "local")
    with pytest.warns(CerebrasCostWarning, match="No price is known of house-model"):
        order = strategy.order([strange, A], asked())
    assert names(order) == ["a", "house-model"]
    assert names(strategy.order([strange, A], asked())) == ["a", "house-model"]
    quote = strategy.quotes([strange], asked())[0]
    assert (quote.usd, quote.source) == (None, "nobody")


def test_a_price_that_lacks_a_rate_is_unknown():
    book = PriceBook().with_price("a", provider="openai", input="1")
    quote = Cheapest(book).quotes([A], asked(input_tokens=10))[0]
    assert quote.usd is None
    assert quote.source == "your prices, which lacks a rate"


def test_a_model_that_was_handed_over_has_the_price_of_its_name():
    class Named(FakeListChatModel):
        def _get_ls_params(self, stop=None, **kwargs):
            return {"ls_provider": "openai", "ls_model_name": "a"}

    quotes = Cheapest(priced()).quotes([Leg("mine", Named(responses=[""]))], asked())
    assert quotes[0].usd == 500 * Decimal(8) / 1_000_000


# -------------------------------------------------------------------------- fastest


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


class World:
    """Legs that are as fast as they are, asked for a while."""

    def __init__(self, *, explore=0.05, by="answer", half_life_s=60, **speeds):
        self.clock = Clock()
        self.speeds = speeds  # seconds to the first token, tokens in a second
        self.legs = [leg(name) for name in speeds]
        self.strategy = Fastest(
            by, half_life_s=half_life_s, explore=explore, seed=7, clock=self.clock
        )

    def run(self, calls, *, tokens=500, each_s=1.0, stream=True):
        first = collections.Counter()
        for _ in range(calls):
            self.clock.now += each_s
            name = self.strategy.order(self.legs, asked()).legs[0].name
            first[name] += 1
            speed = self.speeds[name]
            if speed is None:
                self.strategy.observe(Seen(name, None, 0.01, None, is_ok=False))
                continue
            ttft_s, per_s = speed
            self.strategy.observe(
                Seen(
                    name,
                    ttft_s if stream else None,
                    ttft_s + tokens / per_s,
                    tokens,
                    is_ok=True,
                )
            )
        return first


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "invoke"])
@pytest.mark.parametrize("fast", ["a", "b", "c"])
def test_it_finds_the_fastest(fast, stream):
    speeds = dict.fromkeys("abc", (1.0, 50))
    world = World(**{**speeds, fast: (0.3, 900)})
    world.run(60, stream=stream)
    first = world.run(300, stream=stream)
    assert first[fast] >= 270
    assert all(first[name] for name in "abc")  # the others are still measured


def test_a_leg_that_slows_down_is_left_and_comes_back_when_it_recovers():
    world = World(a=(0.2, 1000), b=(0.4, 400))
    assert world.run(100)["a"] >= 85
    world.speeds["a"] = (5.0, 30)
    world.run(60)
    assert world.run(100)["b"] >= 85
    world.speeds["a"] = (0.2, 1000)
    world.run(200)
    assert world.run(100)["a"] >= 85


def test_without_exploring_a_slow_leg_is_tried_again_once_its_slowness_has_faded():
    world = World(explore=0, half_life_s=10, a=(0.2, 1000), b=(0.5, 95))
    assert world.run(20)["a"] == 20
    world.speeds["a"] = (0.5, 20)
    assert world.run(20)["b"] > 0
    world.speeds["a"] = (0.2, 1000)
    world.clock.now += 10_000
    assert world.run(20)["a"] > 0


def test_a_leg_that_fails_quickly_is_not_taken_for_fast():
    world = World(a=None, b=(0.5, 100))
    world.run(30)
    assert world.run(200)["b"] >= 180


def test_every_leg_is_measured_at_all():
    world = World(explore=0.2, a=(0.1, 5000), b=(3, 10), c=(3, 10))
    assert min(world.run(100).values()) >= 5
    speeds = world.strategy.speeds(world.legs)
    assert all(speed.weight > 0 for speed in speeds.values())


def test_measurements_weigh_half_after_their_half_life():
    world = World(explore=0, half_life_s=60, a=(0.1, 100))
    world.strategy.order([*world.legs, B], asked())
    for _ in range(8):
        world.strategy.observe(Seen("a", 0.1, 1.1, 100, is_ok=True))
    assert world.strategy.speeds(world.legs)["a"].weight == pytest.approx(8)
    world.clock.now += 60
    assert world.strategy.speeds(world.legs)["a"].weight == pytest.approx(4)
    world.clock.now += 1e9
    speed = world.strategy.speeds(world.legs)["a"]
    assert (speed.ttft_s, speed.tokens_per_s) == pytest.approx((0.5, 100))


def test_it_begins_with_the_speeds_of_the_catalog():
    slow, quick = leg("zai-glm-4.7", "cerebras"), leg("gpt-oss-120b", "cerebras")
    strategy = Fastest(explore=0)
    assert names(strategy.order([A, slow, quick], asked()))[0] == "gpt-oss-120b"
    speeds = strategy.speeds([slow, quick, A])
    assert [round(one.tokens_per_s) for one in speeds.values()] == [1000, 3000, 100]


@pytest.mark.parametrize(
    ("by", "best"), [("ttft", "a"), ("tokens_per_s", "b"), ("answer", "b")]
)
def test_what_fast_means_can_be_chosen(by, best):
    world = World(by=by, a=(0.1, 100), b=(0.9, 1000))
    world.run(60)
    assert world.run(100)[best] >= 85


def test_for_short_answers_the_first_token_decides():
    world = World(explore=0, a=(0.1, 100), b=(0.9, 1000))
    world.strategy.order(world.legs, asked())
    for name, (ttft_s, per_s) in world.speeds.items():
        for _ in range(50):
            seen = Seen(name, ttft_s, ttft_s + 500 / per_s, 500, is_ok=True)
            world.strategy.observe(seen)
    first = world.strategy.order(world.legs, asked(max_output_tokens=5)).legs[0]
    assert first.name == "a"
    assert world.strategy.order(world.legs, asked()).legs[0].name == "b"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "invoke"])
@pytest.mark.parametrize(("tokens", "best"), [(5, "a"), (2_000, "b")])
def test_what_is_fast_for_answers_as_they_are_is_found_out(tokens, best, stream):
    world = World(explore=0.2, a=(0.1, 100), b=(0.9, 1000))
    world.run(100, tokens=tokens, stream=stream)
    assert world.run(100, tokens=tokens, stream=stream)[best] >= 70


def test_a_seed_makes_it_the_same_each_time():
    runs = [World(a=(1, 50), b=(1, 60), c=(1, 55)).run(200) for _ in range(2)]
    assert runs[0] == runs[1]


@settings(deadline=None)
@given(
    first=st.none() | st.floats(0, 1e4),
    elapsed=st.floats(0, 1e5),
    tokens=st.none() | st.integers(0, 10**6),
    ok=st.booleans(),
)
def test_whatever_is_seen_a_speed_is_a_number_above_zero(first, elapsed, tokens, ok):
    strategy = Fastest()
    strategy.order([A, B], asked())
    for _ in range(3):
        strategy.observe(Seen("a", first, elapsed, tokens, ok))
    speed = strategy.speeds([A])["a"]
    assert speed.ttft_s > 0
    assert 0 < speed.tokens_per_s < float("inf")
    assert 0 <= speed.success <= 1
    assert 0 < speed.answer_s(100) < float("inf")


@pytest.mark.parametrize(
    "options",
    [{"by": "luck"}, {"half_life_s": 0}, {"explore": 1}, {"output_tokens": 0}],
    ids=str,
)
def test_wrong_options_of_fastest_are_refused(options):
    with pytest.raises(
        CerebrasConfigurationError, match=str(next(iter(options.values())))
    ):
        Fastest(**options)


# -------------------------------------------------------------------------- weighted


@pytest.mark.parametrize("key", [None, "user_id"], ids=["drawn", "by-key"])
def test_the_shares_are_the_weights(key):
    weights = {"a": 6, "b": 3, "c": 1}
    strategy = Weighted(weights, key=key, seed=3)
    first = collections.Counter(
        strategy.order(LEGS, asked({"user_id": f"user-{at}"})).legs[0].name
        for at in range(5_000)
    )
    for name, weight in weights.items():
        share = weight / 10
        # Five standard errors: wrong once in two million.
        bound = 5 * (share * (1 - share) / 5_000) ** 0.5
        assert abs(first[name] / 5_000 - share) < bound


def test_the_second_leg_is_drawn_by_weight_too():
    strategy = Weighted({"a": 8, "b": 3, "c": 1}, seed=5)
    second = collections.Counter()
    for _ in range(6_000):
        order = names(strategy.order(LEGS, asked()))
        if order[0] == "a":
            second[order[1]] += 1
    assert second["b"] / second.total() == pytest.approx(0.75, abs=0.04)


@settings(deadline=None)
@given(user=st.text(min_size=1), salt=st.text(max_size=3))
def test_a_key_always_has_the_same_order(user, salt):
    def order():
        strategy = Weighted({"a": 1, "b": 2, "c": 3}, key="user_id", salt=salt)
        return names(strategy.order(LEGS, asked({"user_id": user})))

    assert order() == order()


@settings(deadline=None)
@given(
    user=st.text(min_size=1), weight=st.floats(0.1, 10), missing=st.sampled_from("abc")
)
def test_only_as_many_move_as_have_to(user, weight, missing):
    request = asked({"user_id": user})

    def first(legs, **weights):
        return Weighted(weights, key="user_id").order(legs, request).legs[0].name

    before = first(LEGS, a=1, b=1, c=1)
    # A leg that weighs more takes some; nobody changes between the others.
    after = first(LEGS, a=1 + weight, b=1, c=1)
    assert after in {before, "a"}
    # A leg that cannot serve the request gives up its own only.
    rest = [one for one in LEGS if one.name != missing]
    if before != missing:
        assert first(rest, a=1, b=1, c=1) == before


def test_a_weight_of_zero_is_asked_when_the_others_have_failed():
    strategy = Weighted({"b": 1, "c": 1, "a": 0}, seed=1)
    for _ in range(100):
        assert names(strategy.order(LEGS, asked()))[-1] == "a"


def test_another_salt_spreads_keys_otherwise():
    def first(salt):
        strategy = Weighted(key="user_id", salt=salt)
        users = [asked({"user_id": str(at)}) for at in range(200)]
        return [strategy.order(LEGS, user).legs[0].name for user in users]

    same = sum(one == two for one, two in zip(first("x"), first("y"), strict=True))
    assert 30 < same < 110


def test_a_request_without_the_key_is_drawn():
    strategy = Weighted(key="user_id", seed=1)
    first = {strategy.order(LEGS, asked()).legs[0].name for _ in range(100)}
    assert first == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("key", "request_", "found"),
    [
        ("user_id", asked({"user_id": 7}), "7"),
        ("user", asked({"user_id": "u"}), "u"),
        ("user", asked({"user": "v", "user_id": "u"}), "v"),
        ("session", asked({"thread_id": "t"}), "t"),
        ("run", asked(run_id="r"), "r"),
        ("run", asked(), None),
        ("user_id", asked({"user_id": ""}), None),
        (lambda request: request.metadata.get("x"), asked({"x": 0}), "0"),
        (lambda request: None, asked(), None),
        (None, asked({"user_id": "u"}), None),
    ],
)
def test_keys_are_found(key, request_, found):
    assert key_of(key, request_) == found


@pytest.mark.parametrize(
    "weights",
    [{"a": -1}, {"a": 0}, {}, {"a": float("nan")}, {"a": float("inf")}, {"a": True}],
    ids=str,
)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(CerebrasConfigurationError, match="weights"):
        Weighted(weights)


# ------------------------------------------------------------------------ experiment


def test_an_experiments_arm_is_first_and_named():
    experiment = Experiment("speed", {"quick": "b", "good": "c"}, key="user")
    strategy = make_strategy(experiment, legs=LEGS)
    seen = set()
    for at in range(50):
        order = strategy.order(LEGS, asked({"user_id": str(at)}))
        arm = experiment.assign(str(at)).arm
        assert order.arm == f"speed/{arm}"
        assert order.experiment == "speed"
        assert names(order) == {"quick": ["b", "a", "c"], "good": ["c", "a", "b"]}[arm]
        seen.add(arm)
    assert seen == {"quick", "good"}


def test_who_is_held_out_or_excluded_gets_the_routers_order():
    experiment = Experiment("e", {"b": 1}, key="user", holdout=0.5, exclude=["vip"])
    strategy = ByExperiment(experiment)
    order = strategy.order(LEGS, asked({"user_id": "vip"}))
    assert order == Order(LEGS)
    held = next(str(at) for at in range(99) if experiment.assign(str(at)).is_holdout)
    order = strategy.order(LEGS, asked({"user_id": held}))
    assert (names(order), order.arm) == (["a", "b", "c"], "e/holdout")


def test_an_arm_whose_leg_cannot_serve_keeps_its_name():
    strategy = ByExperiment(Experiment("e", {"x": "c"}, key="user"))
    order = strategy.order([A, B], asked({"user_id": "u"}))
    assert (names(order), order.arm) == (["a", "b"], "e/x")


def test_an_arm_without_a_leg_is_refused_when_the_router_is_made():
    with pytest.raises(
        CerebrasConfigurationError, match="'z', which is no leg: a, b, c"
    ):
        make_strategy(Experiment("e", {"x": "z"}), legs=LEGS)


def test_whatever_assigns_is_an_experiment():
    class Mine:
        name = "mine"

        def assign(self, key):
            return SimpleNamespace(arm="two" if key == "u" else None)

    strategy = ByExperiment(Mine(), arms={"two": "b"}, key="user")
    assert strategy.order(LEGS, asked({"user_id": "u"})) == Order(
        [B, A, C], "two", "mine"
    )
    assert strategy.order(LEGS, asked({"user_id": "v"})) == Order(LEGS)
    assert strategy.order(LEGS, asked()) == Order(LEGS)


def test_an_experiment_of_ours_has_its_own_arms():
    with pytest.raises(CerebrasConfigurationError, match="leave out"):
        ByExperiment(Experiment("e", {"a": 1}), key="user")
    with pytest.raises(CerebrasConfigurationError, match="must have assign"):
        ByExperiment(object())


# ---------------------------------------------------------------------------- custom


def test_a_function_is_a_strategy():
    def by_tier(legs, request):
        return legs[::-1] if request.metadata.get("tier") == "gold" else legs[:1]

    strategy = make_strategy(by_tier)
    assert strategy.name == "by_tier"
    assert names(strategy.order(LEGS, asked({"tier": "gold"}))) == ["c", "b", "a"]
    assert names(strategy.order(LEGS, asked())) == ["a"]


def test_a_function_may_name_an_arm():
    strategy = Custom(lambda legs, request: Order(legs[1:], "arm"), name="mine")
    assert strategy.order(LEGS, asked()) == Order([B, C], "arm")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "a NoneType"),
        ("a", "a str"),
        (A, "a Leg"),
        (["a"], "'a', which is none"),
        ([A, A], "for the second time"),
        ([leg("z")], r"Leg\('z'\), which is none"),
    ],
    ids=["nothing", "name", "leg", "names", "twice", "stranger"],
)
def test_a_function_that_returns_no_legs_is_told_so(found, said):
    strategy = Custom(lambda legs, request: found, name="mine")
    with pytest.raises(CerebrasConfigurationError, match=said):
        strategy.order(LEGS, asked())


# ---------------------------------------------------------------------------- by name


@pytest.mark.parametrize("name", ["ordered", "cheapest", "fastest", "weighted"])
def test_strategies_have_names(name):
    assert make_strategy(name, legs=LEGS).name == name


def test_arguments_mean_their_strategy():
    assert isinstance(make_strategy(weights={"a": 1}, legs=LEGS), Weighted)
    assert isinstance(make_strategy("weighted", weights={"a": 1}), Weighted)
    made = make_strategy(experiment=Experiment("e", {"a": 1}), legs=LEGS)
    assert isinstance(made, ByExperiment)
    mine = Fastest()
    assert make_strategy(mine) is mine


@pytest.mark.parametrize(
    ("given_", "options", "said"),
    [
        ("fast", {}, "There is no strategy 'fast'"),
        ("experiment", {}, "needs experiment="),
        (7, {}, "strategy=7 must be"),
        ("fastest", {"weights": {"a": 1}}, "is for strategy='weighted'"),
        (
            "weighted",
            {"experiment": Experiment("e", {"a": 1})},
            "strategy='experiment'",
        ),
        (
            "ordered",
            {"weights": {"a": 1}, "experiment": Experiment("e", {"a": 1})},
            "not both",
        ),
        ("ordered", {"weights": {"z": 1}, "legs": LEGS}, "'z', which is no leg"),
    ],
)
def test_what_is_no_strategy_is_refused(given_, options, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        make_strategy(given_, **options)
