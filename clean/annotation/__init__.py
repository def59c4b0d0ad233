"""What people say of pages: a sample to label, their agreement, labels that may train, and estimates for the corpus.

questions        what is asked
strata           which pages there are to draw from, and in which groups
sample_draw      how many of each group, and which
labels_folder    the folder that a draw leaves, and how it is read again
sheets           CSV sheets, one for each annotator
label_studio     tasks and labelling interface for Label Studio, and its exports
label_table      who gave which item which label; what was left out and why
agreement        kappa, its interval, agreement by class
label_estimates  shares of the corpus, with intervals
adjudication     labels good enough to train on, or the reasons why they are not
"""
