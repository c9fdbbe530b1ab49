"""The flywheel: judgements become a round of training, and its model takes over only where a paired test says better.

settings   what a flywheel file says
rounds     one round: from judgements to a decision, resumable
decision   whether a candidate is promoted, and every reason against it
history    which rounds there were, and whose model is in force
"""
