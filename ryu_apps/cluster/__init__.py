"""The controller as one of several replicas of a Kubernetes cluster: `starting` puts its parts together.

The owner thread and the sessions are those of a controller that is alone. Here is what comes beside them: what others
decided is taken over (`following`), asks become decisions (`deciding`), shares are led (`leading`), people and pods are
told (`announcing`), replicas speak with each other (`peers`, `control`).
"""
