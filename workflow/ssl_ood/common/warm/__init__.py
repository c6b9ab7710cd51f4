"""Stages that start warm: forked from a process that has PyTorch, timm and the rest imported.

On small data a stage works for a second, and its imports take three. With `execution.warm` the
workflow starts one server (`server`), and `python -m ssl_ood STAGE` (`client`) asks it for a
process that has the same arguments, environment, folder and streams, and ends as that does. Where
no server answers, or it is one of other code, the stage imports by itself: nothing but time depends
on it.
"""
