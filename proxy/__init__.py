"""Forecache: a caching forward HTTP proxy.

The map of the house; imports point down, never up, never sideways::

     cli  workers              the command; several processes that serve one port
     app  posts  config        composition: builds everything, owns nothing at run time
     admin                     access log and counters          (reads exchange records)
     frontend                  client sockets, writer, tunnels
     exchange                  one request's life: ask policy, do what it says
     store  |  upstream        stored responses, bodies  |  origins, parents, DNS, TLS
     codings                   byte transforms, and which form a client gets            (pure)
     policy |  access | wire   RFC 9111 decisions | who may go where | RFC 9112 syntax  (pure)
     semantics                 RFC 9110 values and field syntax                         (pure)
     bounded                   memories, by the octets that they take

A decision is a synchronous function of values with ``now`` an argument; the exchange floor is
the only place where a decision meets an effect. Every outcome has one reason word
(``proxy.policy.reasons``) that is the same in log, ``Cache-Status`` and test.
"""

__version__ = "0.1.0"
