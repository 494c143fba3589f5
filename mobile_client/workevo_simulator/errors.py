"""Why a run could not be made or finished. Each is a sentence for the person at the terminal.

SimulatorError
├── RecordingUnusable   the file does not hold what the options say it holds
├── ScenarioUnusable    the scenario asked for is none, or does not fit
├── ServerUnusable      the server refuses this run as such: its key, its clock, its contents
└── ServerGone          the server did not answer again within the patience asked for
"""


class SimulatorError(Exception):
    """What `workevo-simulator` prints instead of a traceback."""


class RecordingUnusable(SimulatorError):
    pass


class ScenarioUnusable(SimulatorError):
    pass


class ServerUnusable(SimulatorError):
    pass


class ServerGone(SimulatorError):
    pass
