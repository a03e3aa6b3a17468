"""Reading a jaxpr: what each value sees of the input, what each call costs, which calls make a layer.

``reach`` is the algebra; ``rules``, ``linear`` and ``indexed`` say how each primitive uses it; ``walk``
follows a program by them into a flat list of ``calls``, through loops with ``rounds``; ``cost``,
``memory``, ``field``, ``layering`` and ``words`` read that list.
"""
