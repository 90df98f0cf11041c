"""The images: where they lie, which of them a run takes, their labels and boxes, and how they are read ahead."""

from camsbench.data.embedded import samples as samples
from camsbench.data.record import Record as Record
