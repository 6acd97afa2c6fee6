# IUF's update of later steps: weights pulled to the step before, plain SGD, gradients
# damped along the directions that earlier products used.
method = dict(
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type='SGD', lr=1.0, momentum=0, weight_decay=0),
        clip_grad=dict(max_norm=0.1)),
    # The release's schedule never fires in later steps.
    param_scheduler=[],
    default_hooks=dict(
        anchor=dict(type='mmdefect.WeightAnchorHook', beta=0.05),
        projection=dict(type='mmdefect.ProjectedUpdateHook')))
