"""What a run costs this process."""

import threading
import time

import psutil


class Meter:
    """CPU seconds, and the peak of memory above what was held when the meter was made."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.base = self.peak = self.process.memory_info().rss
        self.began = time.process_time()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Read the memory every four milliseconds."""
        while True:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.004)

    def start(self) -> None:
        """Count CPU seconds from now on."""
        self.began = time.process_time()

    @property
    def cpu_seconds(self) -> float:
        """Since the start."""
        return time.process_time() - self.began

    @property
    def peak_mb(self) -> float:
        """The most memory so far, in MiB."""
        return (self.peak - self.base) / 2**20
