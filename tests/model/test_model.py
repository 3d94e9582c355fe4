"""The model of tlsmsg/1 under thousands of random schedules, and each rule left out once."""

import os
import unittest

import model

# More for a long run.
SCHEDULES = int(os.environ.get("TLSMSG_MODEL_SCHEDULES", "400"))

WORLDS = {
    "one server": {},
    "two servers on one store": {"servers": 2},
    "three clients": {"clients": 3, "servers": 2},
    "a spool set back": {"set_back": True},
    "a spool set back, two servers": {"set_back": True, "servers": 2},
    "two programs under one name": {"shared_name": True},
    "two programs under one name, two servers": {"shared_name": True, "servers": 2},
    "an old backup of the store": {"old_backup": True},
}


def first_violation(schedules, mutants=(), worlds=WORLDS):
    for name, options in worlds.items():
        for seed in range(schedules):
            try:
                model.World(seed, mutants, **options).run()
            except model.Violation as violation:
                return f"{name}, seed {seed}: {violation}"
    return None


class Model(unittest.TestCase):
    def test_promises_hold(self):
        for name, options in WORLDS.items():
            with self.subTest(name):
                self.assertIsNone(first_violation(SCHEDULES, worlds={name: options}))

    def test_every_mutant_is_caught(self):
        for mutant in model.MUTANTS:
            with self.subTest(mutant):
                self.assertIsNotNone(first_violation(SCHEDULES, (mutant,)))

    def test_failures_do_happen(self):
        """A model whose world is quiet would find nothing."""
        stopped = resent = restored = 0
        for seed in range(50):
            world = model.World(seed, shared_name=True, old_backup=True)
            world.run()
            stopped += sum(c.stopped is not None for c in world.clients)
            resent += len(world.connections) > len(world.clients)
            restored += world.restored
        self.assertGreater(stopped, 10)
        self.assertGreater(resent, 10)
        self.assertGreater(restored, 10)


if __name__ == "__main__":
    unittest.main()
