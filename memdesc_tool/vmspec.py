"""The machine that a guest gets, as data (data/vm/*.toml, or a suite's own file).

A VmSpec says how much memory and how many processors there are, on which NUMA nodes, what
memory can come later and which devices there are; `qemu_args` puts it in QEMU's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool.arch import DATA
from memdesc_tool.errors import UserError
from memdesc_tool.tomlfile import Table, read_toml

SPECS = DATA / "vm"
DEFAULT = "default"
MAX_NODES = 64


@dataclass(frozen=True)
class Node:
    """A NUMA node: memory in MiB at boot (0: none yet), and how many processors."""

    memory: int
    cpus: int


@dataclass(frozen=True)
class VirtioMem:
    """A virtio-mem device: size in MiB that it can have, requested at boot, its node."""

    size: int
    requested: int = 0
    node: int = 0


@dataclass(frozen=True)
class VmSpec:
    """A machine.

    slots: memory devices that can be plugged while it runs; plug_memory: MiB that those may
    have together; kernel_args: command line that belongs to it; devices: arguments of
    QEMU's -device.
    """

    nodes: tuple[Node, ...] = (Node(2048, 2),)
    slots: int = 0
    plug_memory: int = 0
    virtio_mem: VirtioMem | None = None
    kernel_args: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    @property
    def memory(self) -> int:
        """MiB at boot."""
        return sum(node.memory for node in self.nodes)

    @property
    def cpus(self) -> int:
        return sum(node.cpus for node in self.nodes)

    @property
    def max_memory(self) -> int:
        """MiB with all that can come later."""
        return self.memory + self.plug_memory + (self.virtio_mem.size if self.virtio_mem else 0)

    def changed(
        self, memory: int | None = None, cpus: int | None = None, nodes: int | None = None
    ) -> VmSpec:
        """The same with another size: memory in MiB. All is spread evenly again.

        Raises UserError for a size that cannot be.
        """
        if memory is None and cpus is None and nodes is None:
            return self
        spread = even(memory or self.memory, cpus or self.cpus, nodes or len(self.nodes))
        if self.virtio_mem and self.virtio_mem.node >= len(spread):
            raise UserError(
                f"the virtio-mem device is on node {self.virtio_mem.node}, "
                f"and there are only {len(spread)} nodes"
            )
        return replace(self, nodes=spread)

    @property
    def qemu_args(self) -> tuple[str, ...]:
        """QEMU's arguments, behind those of the architecture and its -m."""
        return tuple(self._arguments())

    def _arguments(self) -> Iterator[str]:
        slots = self.slots + (1 if self.virtio_mem else 0)
        size = f"size={self.memory}M"
        yield from ("-m", f"{size},slots={slots},maxmem={self.max_memory}M" if slots else size)
        # A node of its own is a socket of its own: a core with threads on two nodes, or a
        # cache on both, is no machine that there is, and the kernel warns of it.
        sockets = sum(1 for node in self.nodes if node.cpus)
        even_sockets = self.cpus % sockets == 0
        yield from ("-smp", f"{self.cpus},sockets={sockets if even_sockets else self.cpus}")
        first = 0
        for number, node in enumerate(self.nodes):
            here = f"node,nodeid={number}"
            if node.cpus:
                here += f",cpus={first}-{first + node.cpus - 1}"
            first += node.cpus
            if node.memory:
                yield from ("-object", f"memory-backend-ram,id=mem{number},size={node.memory}M")
                here += f",memdev=mem{number}"
            yield from ("-numa", here)
        if extra := self.virtio_mem:
            yield from ("-object", f"memory-backend-ram,id=vmem,size={extra.size}M")
            yield from (
                "-device",
                f"virtio-mem-pci,id=virtio-mem,memdev=vmem,node={extra.node},"
                f"requested-size={extra.requested}M",
            )
        for device in self.devices:
            yield from ("-device", device)


def even(memory: int, cpus: int, nodes: int) -> tuple[Node, ...]:
    """Nodes with the same memory (MiB) each, what is left over on the first. UserError."""
    if not 1 <= nodes <= MAX_NODES:
        raise UserError(f"a machine has 1 to {MAX_NODES} nodes, not {nodes}")
    if memory // nodes < 64:
        raise UserError(f"{memory} MiB are too few for {nodes} nodes", "64 MiB each at least")
    if cpus < 1:
        raise UserError("a machine has at least one processor")
    return tuple(
        Node(
            memory // nodes + (memory % nodes if number == 0 else 0),
            cpus // nodes + (1 if number < cpus % nodes else 0),
        )
        for number in range(nodes)
    )


def find(name: str) -> VmSpec:
    """The spec in a file, or the tool's own of that name. Raises UserError."""
    own = SPECS / f"{name}.toml"
    if own.is_file():
        return read(own)
    if not Path(name).is_file():
        known = ", ".join(sorted(path.stem for path in SPECS.glob("*.toml")))
        raise UserError(f"there is no machine {name}", f"known: {known}; or a file")
    return read(Path(name))


def read(path: Path) -> VmSpec:
    """Read a spec. Raises UserError naming file, line and field."""
    return read_table(read_toml(path, "the description of a virtual machine"))


def read_table(top: Table) -> VmSpec:
    """The spec in a table that has [vm], [[node]] and [virtio_mem]. Raises UserError."""
    top.only(["vm", "node", "virtio_mem"])
    table = top.table("vm")
    table.only(["memory", "cpus", "nodes", "slots", "plug_memory", "kernel_args", "devices"])
    nodes = _nodes(top, table)
    slots = table.integer("slots", 0)
    plug_memory = table.integer("plug_memory", 0)
    if slots and not plug_memory:
        raise table.error("slots", "plug_memory must say what may be in them")
    if plug_memory and not slots:
        raise table.error("plug_memory", "no slots for it")
    return VmSpec(
        nodes=nodes,
        slots=slots,
        plug_memory=plug_memory,
        virtio_mem=_virtio_mem(top, len(nodes)),
        kernel_args=table.strings("kernel_args"),
        devices=table.strings("devices"),
    )


def _nodes(top: Table, table: Table) -> tuple[Node, ...]:
    """[[node]], or memory, cpus and nodes of [vm] spread evenly."""
    if "node" not in top.values:
        memory = table.integer("memory", 2048, minimum=64)
        nodes = table.integer("nodes", 1, minimum=1)
        if nodes > MAX_NODES or memory // nodes < 64:
            raise table.error("nodes", f"at most {MAX_NODES}, and 64 MiB of memory for each")
        return even(memory, table.integer("cpus", 1, minimum=1), nodes)
    for field in ("memory", "cpus", "nodes"):
        if field in table.values:
            raise table.error(field, "give either this or [[node]]")
    nodes_ = []
    for node in top.tables("node"):
        node.only(["memory", "cpus"])
        nodes_.append(Node(node.integer("memory"), node.integer("cpus", 0)))
    if not any(node.cpus for node in nodes_) or not nodes_[0].memory:
        raise top.error("node", "the first needs memory, and one of them processors")
    return tuple(nodes_)


def _virtio_mem(top: Table, nodes: int) -> VirtioMem | None:
    if "virtio_mem" not in top.values:
        return None
    table = top.table("virtio_mem")
    table.only(["size", "requested", "node"])
    device = VirtioMem(
        table.integer("size", minimum=1), table.integer("requested", 0), table.integer("node", 0)
    )
    if device.requested > device.size:
        raise table.error("requested", f"more than the size, {device.size} MiB")
    if device.node >= nodes:
        raise table.error("node", f"there is no node {device.node}")
    return device
