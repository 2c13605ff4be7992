from ftsdk.forecast.memory import *
from ftsdk.forecast.memory import MOST_RESPONSES, MemoryForecast, Shape, forecast, responses_that_fit, tokens_that_fit
